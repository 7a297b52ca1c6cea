// Draws each chart from the JSON beside it, in the page's colours; a point whose customdata is a path opens it.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // "--series-1" and the like in traces and layouts stand for the page's colours.
  const coloured = (value) => {
    if (typeof value === "string") return value.startsWith("--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v)]));
    return value;
  };
  // Texts from data are shown as they are: plotly would take <b> and the like for marks.
  const KEEP = new Set(["hovertemplate"]);
  const plain = (value, key) => {
    if (typeof value === "string") return KEEP.has(key) ? value : value.replaceAll("<", "\u2039").replaceAll("&", "\uff06");
    if (Array.isArray(value)) return value.map((each) => plain(each, key));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === "customdata" ? v : plain(v, k)]));
    return value;
  };
  const axis = (given) => ({ gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true, fixedrange: true, ...given });
  const draw = (source) => {
    const target = document.getElementById(source.dataset.chart);
    const { traces, layout } = coloured(plain(JSON.parse(source.textContent)));
    const full = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true, hovermode: "closest",
      colorway: [1, 2, 3, 4].map((n) => colour(`--series-${n}`)),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--text") },
      margin: { l: 48, r: 12, t: 8, b: 32 }, legend: { orientation: "h", y: 1.12, x: 0 },
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--text") } },
      ...layout, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    };
    for (const name of Object.keys(layout)) if (/^[xy]axis\d+$/.test(name)) full[name] = axis(layout[name]);
    const first = !target.classList.contains("js-plotly-plot");
    Plotly.react(target, traces, full, { displayModeBar: false, responsive: true });
    if (first) target.on("plotly_click", (event) => {
      const path = event.points[0].customdata;
      if (typeof path === "string" && path.startsWith("/") && !path.startsWith("//")) location.assign(path);
    });
  };
  const all = () => document.querySelectorAll("script[data-chart]").forEach(draw);
  all();
  document.addEventListener("themechange", all);
})();

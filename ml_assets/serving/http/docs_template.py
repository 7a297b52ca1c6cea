# ruff: noqa: E501 - markup reads better unbroken, and a break inside a cell would show
"""The page of the server's routes, a Jinja template; styles and script are inline so that it stands alone."""

_STYLE = """
:root { --ink: #1c1e21; --soft: #5d636b; --line: #dfe2e6; --paper: #fff; --panel: #f5f6f8; --get: #00674b; --post: #1f5fa8; --bad: #b03a00 }
* { box-sizing: border-box }
html { scroll-padding-top: 1rem }
body { margin: 0; color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
.page { display: grid; grid-template-columns: 19rem minmax(0, 1fr); max-width: 84rem; margin: 0 auto }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem 1rem; border-right: 1px solid var(--line); font-size: .87rem }
nav h2 { font-size: .8rem; color: var(--soft); margin: 1.2rem 0 .3rem; font-weight: 600 }
nav a { display: block; color: var(--ink); text-decoration: none; padding: .12rem .3rem; overflow-wrap: anywhere; border-radius: 3px }
nav a:hover, nav a:focus { background: var(--panel) }
main { padding: 1.5rem 2rem 4rem }
h1 { font-size: 1.5rem; margin: 0 } main > h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
.soft { color: var(--soft) }
.verb { font: 600 .75rem/1.4 ui-monospace, Menlo, Consolas, monospace; color: var(--get) } .verb.POST { color: var(--post) }
article { border: 1px solid var(--line); border-radius: 6px; margin: 0 0 1rem; padding: .9rem 1.1rem }
article h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere } article h3 code { font-size: .95rem }
article p { margin: .3rem 0 }
code, textarea, pre, input { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .84rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .87rem; margin: .4rem 0 }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 600 } .wide td:first-child { white-space: nowrap }
details { margin: .5rem 0 } summary { cursor: pointer; color: var(--post) }
textarea { width: 100%; min-height: 11rem; border: 1px solid var(--line); border-radius: 4px; padding: .6rem; background: var(--panel); color: var(--ink); resize: vertical }
input { border: 1px solid var(--line); border-radius: 4px; padding: .3rem .5rem; min-width: 14rem }
button { font: inherit; font-size: .87rem; padding: .3rem .9rem; border: 1px solid var(--post); border-radius: 4px; background: var(--post); color: #fff; cursor: pointer }
button:disabled { opacity: .5 }
pre { background: var(--panel); border-left: 4px solid var(--get); padding: .6rem .8rem; margin: .6rem 0 0; overflow: auto; max-height: 26rem; white-space: pre-wrap; overflow-wrap: anywhere }
pre.bad { border-left-color: var(--bad) }
@media (max-width: 50rem) { .page { display: block } nav { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--line) } main { padding: 1.2rem 1rem 3rem } }
@media print { nav, .try { display: none } .page { display: block } }
"""

PAGE = (
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }} {{ info.version }}: routes</title>
<link rel="icon" href="data:,">
<style>"""
    + _STYLE
    + """</style>
</head>
<body>
{% macro table(rows) %}
<div class="wide"><table>
<tr><th>field</th><th>holds</th><th>allowed</th><th></th></tr>
{% for row in rows %}
<tr><td style="padding-left:{{ row.depth * 1.1 }}rem"><code>{{ row.name }}</code></td><td>{{ row.kind }}</td><td>{{ row.limits }}</td>
<td class="soft">{{ "" if row.needed else "may be left out. " }}{{ row.description }}</td></tr>
{% endfor %}
</table></div>
{% endmacro %}
<div class="page">
<nav aria-label="Routes">
<b>{{ info.title }}</b> <span class="soft">{{ info.version }}</span>
{% for title, operations in tags %}
<h2>{{ title }}</h2>
{% for one in operations %}
<a href="#{{ one.id }}"><span class="verb {{ one.method }}">{{ one.method }}</span> {{ one.path }}</a>
{% endfor %}
{% endfor %}
</nav>
<main>
<h1>{{ info.title }}</h1>
<p class="soft">{{ info.description }} As a file: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
{% if keys %}
<p><label>API key <input id="key" type="password" autocomplete="off"></label> <span class="soft">is sent by the forms below and kept nowhere.</span></p>
{% endif %}
{% for title, operations in tags %}
<h2>{{ title }}</h2>
{% for one in operations %}
<article id="{{ one.id }}" data-method="{{ one.method }}" data-path="{{ one.path }}">
<h3><span class="verb {{ one.method }}">{{ one.method }}</span> <code>{{ one.path }}</code></h3>
<p>{{ one.summary }}.{% if one.description %} <span class="soft">{{ one.description }}</span>{% endif %}</p>
{% if one.fields %}
<details{% if one.tag == "v1" %} open{% endif %}><summary>What a request holds</summary>{{ table(one.fields) }}</details>
{% endif %}
{% if one.answer %}
<details><summary>What the answer holds</summary>{{ table(one.answer) }}</details>
{% endif %}
<details><summary>Statuses</summary><table>
{% for status, response in one.responses.items() %}
<tr><td><code>{{ status }}</code></td><td>{{ response.description }}</td></tr>
{% endfor %}
</table></details>
<details class="try"><summary>Try it</summary>
{% for parameter in one.parameters %}
<p><label>{{ parameter.name }} <input data-name="{{ parameter.name }}" value="{{ parameter.schema.enum[0] if parameter.schema.enum }}"></label></p>
{% endfor %}
{% if one.example %}
<p><textarea aria-label="Body" spellcheck="false">{{ one.example }}</textarea></p>
{% endif %}
<p><button type="button">Send</button> <span class="soft" role="status"></span></p>
<pre hidden></pre>
</details>
</article>
{% endfor %}
{% endfor %}
</main>
</div>
<script>
if (window.mlAssetsKey && document.getElementById("key")) document.getElementById("key").value = window.mlAssetsKey;
for (const article of document.querySelectorAll("article")) {
  const button = article.querySelector("button"), told = article.querySelector("[role=status]"), shown = article.querySelector("pre");
  button.addEventListener("click", async () => {
    let path = article.dataset.path;
    for (const field of article.querySelectorAll("input[data-name]"))
      path = path.replace("{" + field.dataset.name + "}", encodeURIComponent(field.value));
    const body = article.querySelector("textarea"), key = document.getElementById("key");
    const headers = {};
    if (body) headers["content-type"] = "application/json";
    if (key && key.value) headers["authorization"] = "Bearer " + key.value;
    button.disabled = true;
    const began = performance.now();
    try {
      const answer = await fetch(path, { method: article.dataset.method, headers, body: body ? body.value : undefined });
      let text = await answer.text();
      told.textContent = answer.status + " " + answer.statusText + ", " + Math.round(performance.now() - began) + " ms";
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
      shown.textContent = text.slice(0, 100000) || "(no body)";
      shown.className = answer.ok ? "" : "bad";
      shown.hidden = false;
    } catch (error) {
      told.textContent = "no answer: " + error.message;
    }
    button.disabled = false;
  });
}
</script>
</body>
</html>
"""
)

ASKS_FOR_KEY = (
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ml_assets: an API key is needed</title>
<link rel="icon" href="data:,">
<style>"""
    + _STYLE
    + """</style>
</head>
<body>
<main>
<h1>ml_assets</h1>
<p>The routes are shown to who has an API key; it is kept nowhere.</p>
<form><label>API key <input id="key" type="password" autocomplete="off"></label> <button>Show</button> <span class="soft" role="status"></span></form>
</main>
<script>
document.querySelector("form").addEventListener("submit", async event => {
  event.preventDefault();
  const key = document.getElementById("key").value;
  const answer = await fetch("/docs", { headers: { authorization: "Bearer " + key } });
  if (!answer.ok) { document.querySelector("[role=status]").textContent = "not a known key"; return; }
  const page = await answer.text();
  window.mlAssetsKey = key;
  document.open(); document.write(page); document.close();
});
</script>
</body>
</html>
"""
)

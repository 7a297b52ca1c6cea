// The switch between light and dark: kept in a cookie, so that the server writes the page in it from its first byte.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const show = () => { button.textContent = current() === "dark" ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = current() === "dark" ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
    show();
    document.dispatchEvent(new Event("themechange"));
  });
  dark.addEventListener("change", () => { show(); document.dispatchEvent(new Event("themechange")); });
  show();
})();

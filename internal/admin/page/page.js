// The server renders and escapes every part of the page; this only puts new
// ones in the place of old ones.
"use strict";

const live = document.getElementById("live");
const pause = document.getElementById("pause");
const latest = new Map(); // what came while the page was paused or a text selected
let paused = false;

function selecting(section) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(section, true);
}

function show() {
  if (paused) return;
  for (const [name, html] of latest) {
    const section = document.getElementById(name);
    if (selecting(section)) continue;
    section.innerHTML = html;
    latest.delete(name);
  }
}

function connect() {
  const source = new EventSource("/events");
  for (const name of ["summary", "traffic", "identities", "named", "mints", "requests"]) {
    source.addEventListener(name, (event) => { latest.set(name, event.data); show(); });
  }
  source.onopen = () => { live.textContent = "live"; live.className = "live on"; };
  source.onerror = () => {
    live.textContent = "not connected";
    live.className = "live off";
    // After a refusal, as with too many open pages, EventSource does not try again.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 10000);
  };
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  show();
});
connect();

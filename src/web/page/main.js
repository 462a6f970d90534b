// Reads the data, draws, and keeps both current: the server sends what changed, at most once a second.

const app = { live: false, connected: true, over: false, source: null, overview: null, histories: null };

function drawAll() {
  if (!app.overview) return;
  drawHeader();
  drawNumbers();
  drawNeeds();
  drawCalendar();
  drawTimeline();
  drawFigures();
  drawRuns();
}

// Draws what depends on the changed keys.
function drawChanged(keys) {
  drawHeader();
  drawNumbers();
  const changed = (...names) => names.some((name) => keys.includes(name));
  if (changed("problems", "new_fields", "datasets")) drawNeeds();
  if (changed("datasets", "interval")) drawCalendar();
  if (changed("samples", "tokens", "pauses", "limits", "state")) drawTimeline();
  if (changed("sums")) drawFigures();
  if (changed("runs", "totals", "state", "run")) drawRuns();
}

// Applies a change: objects are merged, null removes a key; `{"$by": keys, "$set": [...], "$cut": [...]}`
// changes elements of a list that have a key.
function merge(old, change) {
  if (change === null || typeof change !== "object" || Array.isArray(change)) return change;
  if (change.$by) {
    const id = (item) => JSON.stringify(change.$by.map((key) => item[key] ?? null));
    const items = new Map((old || []).map((item) => [id(item), item]));
    for (const gone of change.$cut || []) items.delete(JSON.stringify(gone));
    for (const item of change.$set || []) items.set(id(item), merge(items.get(id(item)), item));
    const list = [...items.values()], by = change.$by;
    return list.sort((a, b) => {
      for (const key of by) if (a[key] !== b[key]) return a[key] < b[key] ? -1 : 1;
      return 0;
    });
  }
  const merged = { ...(old && typeof old === "object" && !Array.isArray(old) ? old : {}) };
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete merged[key]; else merged[key] = merge(merged[key], value);
  }
  return merged;
}

let stream = null;
function listen() {
  stream?.close();
  stream = new EventSource("events" + (app.source ? "?" + new URLSearchParams({ source: app.source }) : ""));
  stream.addEventListener("overview", (event) => {
    app.overview = JSON.parse(event.data);
    app.connected = true;
    drawAll();
  });
  stream.addEventListener("change", (event) => {
    if (!app.overview) return;
    const change = JSON.parse(event.data);
    app.overview = merge(app.overview, change);
    app.connected = true;
    drawChanged(Object.keys(change));
  });
  stream.addEventListener("end", () => {
    stream.close();
    app.over = true;
    drawHeader();
  });
  stream.addEventListener("problem", (event) => {
    $("headline").textContent = plain(JSON.parse(event.data));
  });
  stream.addEventListener("open", () => { app.connected = true; if (app.overview) drawHeader(); });
  stream.addEventListener("error", () => {
    app.connected = false;
    if (app.overview) drawHeader(); else $("headline").textContent = "The program does not answer; trying again.";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

function chooseSource(name) {
  app.source = name;
  app.overview = null;
  calendar.level = null;
  calendar.layout = "";
  figures.chosen = null;
  for (const button of $("sources").children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
  listen();
}

function start() {
  const page = JSON.parse($("page").textContent);
  app.live = Boolean(page.live);
  app.histories = page.histories || null;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    requestAnimationFrame(drawAll);
  });
  LIGHT.addEventListener("change", drawAll);
  addEventListener("scroll", () => tip(null), { passive: true });
  $("history").addEventListener("click", (event) => event.target === $("history") && $("history").close());
  if (!app.live) {
    app.overview = page.overview;
    drawAll();
    return;
  }
  const names = page.sources || [];
  if (names.length > 1) {
    clear($("sources"), names.map((name) => h("button", { type: "button", "data-name": name, onclick: () => chooseSource(name) }, plain(name))));
  }
  chooseSource(names.length > 1 ? names[0] : null);
}
start();

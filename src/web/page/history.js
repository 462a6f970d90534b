// The history of one day of a dataset: what was committed, split, failed, and when.

const TONES = { committed: "good", split: "news", failed: "bad", doubtful: "warn", retried: "warn" };

function openHistory(name, date) {
  const dialog = $("history");
  drawHistory(name, date);
  if (!dialog.open) dialog.showModal();
}

function drawHistory(name, date) {
  const dialog = $("history"), dataset = app.overview.datasets.find((d) => d.name === name);
  const index = dataset?.days.findIndex((day) => day.date === date) ?? -1;
  if (index < 0) return;
  const day = { ...dataset.days[index], time: ms(date + "T00:00:00Z") };
  const other = (by) => {
    const to = dataset.days[index + by];
    return h("button", { type: "button", disabled: !to, "aria-label": by < 0 ? "the day before" : "the day after", onclick: () => { drawHistory(name, to.date); dialog.querySelector(by < 0 ? "button" : "button:nth-of-type(2)")?.focus(); } }, by < 0 ? "‹" : "›");
  };
  const events = h("div", { class: "history-events" }, h("p", { class: "dim" }, "reading the ledger …"));
  clear(dialog,
    h("div", { class: "head" }, h("h2", { id: "history-h", class: "grow" }, `${plain(name)}, ${WEEK[weekday(day.time)]} ${dayText(day.time)}`),
      h("span", { class: "group" }, other(-1), other(1)), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    h("div", { class: "facts" },
      [[STATES[kindOf(day)] || plain(day.state), "state"], [number(day.rows), "rows"], [number(day.requests), "requests"], [number(day.retries), "retries"], [duration(day.duration_s), "duration"], [number(day.shards), day.shards === 1 ? "shard" : "shards"], [number(day.open_rows), "rows open"]]
        .map(([value, text]) => h("div", null, h("b", null, value), text))),
    events);
  readHistory(name, date).then((history) => {
    if (events.isConnected) clear(events, historyNodes(history, day, dialog));
  }, (error) => {
    if (events.isConnected) clear(events, h("p", { class: "dim" }, withCode(error.message)));
  });
}

async function readHistory(name, date) {
  if (!app.live) {
    const found = app.histories?.[name]?.[date];
    if (found) return found;
    throw new Error("This report holds the histories of days that failed, were split or are in doubt. `cxbackfill ui` shows those of all days.");
  }
  const query = new URLSearchParams({ dataset: name, from: date + "T00:00:00Z", to: isoDay(ms(date + "T00:00:00Z") + DAY) + "T00:00:00Z" });
  if (app.source) query.set("source", app.source);
  const reply = await fetch("shards?" + query, { cache: "no-store" });
  if (!reply.ok) throw new Error(`The history cannot be read: ${(await reply.text()).slice(0, 300)}`);
  return reply.json();
}

function historyNodes(history, day, dialog) {
  const events = history.events || [];
  if (!events.length) return [h("p", { class: "dim" }, "The ledger has no record of this day yet.")];
  const width = dialog.clientWidth - 44, from = day.time, to = day.time + DAY;
  const x = (time) => ((Math.max(from, Math.min(to, time)) - from) / DAY) * width;
  const most = Math.max(1, ...events.map((event) => event.rows || 0));
  const pieces = events.filter((event) => ["committed", "failed", "doubtful"].includes(event.kind)).map((event) => {
    const a = x(ms(event.interval.from)), b = x(ms(event.interval.to));
    return { x: a, y: 0, w: Math.max(3, b - a - 1), h: 22, kind: event.kind, level: level(event.rows || 1, most) };
  });
  const [defs, fill] = hatch();
  const picture = s("svg", { width, height: 40, viewBox: `0 0 ${width} 40`, role: "img", "aria-label": "the parts of the day" }, defs, paint(pieces, fill),
    [0, 6, 12, 18, 24].map((hour) => s("text", { x: (hour / 24) * width, y: 37, "text-anchor": hour === 0 ? "start" : hour === 24 ? "end" : "middle" }, `${two(hour)}:00`)));
  const line = (event) => {
    const what = [event.rows !== undefined && event.rows !== null && many(event.rows, "row"), event.requests > 0 && many(event.requests, "request"), event.retries > 0 && many(event.retries, "retry", "retries"), event.duration_s > 0 && duration(event.duration_s)].filter(Boolean).join(", ");
    return h("tr", null, h("td", null, moment(event.at, true)), h("td", { class: "full" }, h("span", { class: "tag " + (TONES[event.kind] || "news") }, plain(event.kind)), span(event.interval)),
      h("td", { class: "full" }, what, event.reason ? h("div", null, plain(event.reason)) : null, event.correlation ? h("div", { class: "dim small" }, "correlation id ", h("code", null, plain(event.correlation))) : null));
  };
  return [picture, h("table", { class: "facts events" }, h("thead", null, h("tr", null, ["When", "What", "Details"].map((t) => h("th", null, t)))), h("tbody", null, events.slice(0, 500).map(line))),
    events.length > 500 && h("p", { class: "dim small" }, `${number(events.length - 500)} more`)].filter(Boolean);
}

// The days of every dataset: years (a cell a month), a year (a cell a day, by weekday), a month (large
// cells with numbers). A day itself is the history in history.js.

const STATES = {
  committed: "whole", fetching: "fetching", partial: "partly there", waiting: "waiting", split: "whole, after a split",
  doubtful: "doubtful", failed: "failed", denied: "denied",
};
const WORST = ["denied", "failed", "doubtful", "fetching", "partial", "waiting", "split", "committed"];

// So few days are shown together, whatever months they are of.
const FEW_DAYS = 62;

const calendar = { level: null, at: null, bands: new Map(), layout: "" };

const kindOf = (day) => day.state === "committed" && day.split ? "split" : day.state;
const level = (rows, most) => rows > 0 && most > 0 ? Math.max(1, Math.min(4, Math.ceil(4 * rows / most))) : 0;

function dayTip(dataset, day) {
  return [
    `${plain(dataset.name)}, ${WEEK[weekday(day.time)]} ${dayText(day.time)}`,
    STATES[kindOf(day)] || plain(day.state),
    (day.shards > 0 || !["waiting", "denied"].includes(day.state)) && `${many(day.rows, "row")}${day.requests === null || day.requests === undefined ? "" : `, ${many(day.requests, "request")}`}${day.retries ? `, ${many(day.retries, "retry", "retries")}` : ""}`,
    day.duration_s > 0 && `${duration(day.duration_s)}${day.shards > 1 ? ` in ${many(day.shards, "shard")}` : ""}`,
    day.open_rows > 0 && `${many(day.open_rows, "row")} still open`,
  ];
}

// Days with their times, made once for each change.
function prepared(dataset) {
  let most = 0;
  const days = dataset.days.map((day) => {
    most = Math.max(most, day.rows);
    return { ...day, time: ms(day.date + "T00:00:00Z") };
  });
  return { ...dataset, days, most };
}

function monthly(dataset) {
  const months = new Map();
  for (const day of dataset.days) {
    const key = day.date.slice(0, 7);
    const month = months.get(key) || { key, time: ms(key + "-01T00:00:00Z"), rows: 0, requests: 0, open_rows: 0, counts: {} };
    month.rows += day.rows;
    month.requests += day.requests || 0;
    month.open_rows += day.open_rows || 0;
    const kind = kindOf(day);
    month.counts[kind] = (month.counts[kind] || 0) + 1;
    months.set(key, month);
  }
  return [...months.values()].map((month) => {
    let state = WORST.find((name) => month.counts[name]);
    if (state === "waiting" && Object.keys(month.counts).length > 1) state = "partial";
    return { ...month, state };
  });
}

function zoomTo(next, time) {
  calendar.level = next;
  calendar.at = time;
  drawCalendar();
}

function years(datasets) {
  const found = new Set();
  for (const dataset of datasets) for (const day of dataset.days) found.add(+day.date.slice(0, 4));
  return [...found].sort((a, b) => a - b);
}

function drawCalendar() {
  const section = $("days"), overview = app.overview;
  const datasets = overview.datasets.map(prepared).sort((a, b) => b.days.length - a.days.length);
  const known = years(datasets), longest = Math.max(0, ...datasets.map((d) => d.days.length));
  if (!calendar.level) {
    calendar.level = longest > 400 ? "years" : longest > FEW_DAYS ? "year" : "month";
    const first = datasets.flatMap((d) => d.days.filter((day) => day.state !== "waiting").map((day) => day.time));
    calendar.at = calendar.level === "month" ? Math.min(...datasets.map((d) => d.days[0]?.time ?? Infinity)) : Math.max(...first, ms(overview.interval.from));
    if (!Number.isFinite(calendar.at)) calendar.at = ms(overview.interval.from);
  }
  const width = room(section);
  const idle = (d) => yearDays(d, new Date(calendar.at).getUTCFullYear()).every((day) => day.state === "waiting");
  const layout = [calendar.level, calendar.level === "years" ? "" : new Date(calendar.at).getUTCFullYear(), calendar.level === "month" ? new Date(calendar.at).getUTCMonth() : "", width,
    ...datasets.map((d) => [d.name, d.days.length, d.days[0]?.date, idle(d)])].join("|");
  const fresh = layout !== calendar.layout;
  if (fresh) {
    const focused = section.contains(document.activeElement) && document.activeElement.dataset.key;
    calendar.layout = layout;
    calendar.bands.clear();
    const body = h("div", { id: "calendar-body", class: calendar.level === "month" ? "months" : "" });
    clear(section, calendarHead(datasets, known, longest), body, h("div", { class: "legend", id: "legend" }));
    for (const dataset of datasets) body.append(calendarDataset(dataset, width, known));
    if (focused) section.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
  for (const dataset of datasets) {
    const entry = calendar.bands.get(dataset.name);
    if (!entry) continue;
    const said = `${plain(dataset.words || dataset.state)} · ${many(dataset.rows, "row")}${dataset.open_rows ? ` · ${number(dataset.open_rows)} open` : ""}${dataset.quarantined ? ` · ${number(dataset.quarantined)} in quarantine` : ""}`;
    entry.words.textContent = said;
    entry.update(dataset);
  }
  drawLegend(datasets);
}

function calendarHead(datasets, known, longest) {
  const at = new Date(calendar.at), year = at.getUTCFullYear(), month = at.getUTCMonth();
  const choose = (name, text, shown) => shown && h("button", { type: "button", "data-key": "zoom-" + name, "aria-pressed": String(calendar.level === name), onclick: () => zoomTo(name, calendar.at) }, text);
  const times = datasets.flatMap((d) => d.days.length ? [d.days[0].time, d.days[d.days.length - 1].time] : []);
  const first = Math.min(...times), last = Math.max(...times);
  const step = (by) => {
    const to = calendar.level === "year" ? Date.UTC(year + by, by > 0 ? 0 : 11, 1) : Date.UTC(year, month + by, 1);
    const end = calendar.level === "year" ? Date.UTC(year + by + 1, 0, 1) : Date.UTC(year, month + by + 1, 1);
    const start = calendar.level === "year" ? Date.UTC(year + by, 0, 1) : to;
    const none = !(start <= last && end > first);
    return h("button", { type: "button", disabled: none, "data-key": "step" + by, "aria-label": by < 0 ? "earlier" : "later", onclick: () => zoomTo(calendar.level, to) }, by < 0 ? "‹" : "›");
  };
  const title = calendar.level === "years" ? (known.length ? `${known[0]} to ${known[known.length - 1]}` : "") : calendar.level === "year" ? String(year) : `${MONTHS[month]} ${year}`;
  const unit = calendar.level === "years" ? "a square a month" : "a square a UTC day";
  const together = calendar.level === "years" || (calendar.level === "month" && longest <= FEW_DAYS);
  return h("div", { class: "head" },
    h("h2", { id: "days-h" }, "Days"), h("span", { class: "dim small grow" }, `${unit}; darker holds more rows`),
    !together && h("span", { class: "group" }, step(-1), h("button", { type: "button", "data-key": "title", disabled: true, "aria-live": "polite" }, title), step(1)),
    longest > 14 && h("span", { class: "group", role: "group", "aria-label": "Zoom" }, choose("years", "Years", longest > 70), choose("year", "Year", longest > 14), choose("month", longest <= FEW_DAYS ? "Days" : "Month", true)));
}

function calendarDataset(dataset, width, known) {
  const words = h("span", { class: "dim" });
  const node = h("section", { class: "dataset" }, h("div", { class: "name" }, h("h3", null, plain(dataset.name)), words));
  const at = new Date(calendar.at);
  const build = { years: yearsBand, year: yearBand, month: monthBand }[calendar.level];
  const { band, note, update } = build(dataset, width, at.getUTCFullYear(), at.getUTCMonth(), known);
  if (band) { band.node.dataset.key = "band-" + dataset.name; node.append(band.node); }
  if (note) node.append(h("p", { class: "dim small" }, note));
  calendar.bands.set(dataset.name, { words, update });
  return node;
}

const openDay = (dataset) => (cell) => openHistory(dataset.name, cell.key);

// What a cell of a month says.
function monthTip(dataset, month) {
  return [`${plain(dataset.name)}, ${MONTHS[+month.key.slice(5) - 1]} ${month.key.slice(0, 4)}`,
    Object.keys(STATES).filter((state) => month.counts[state]).map((state) => `${many(month.counts[state], "day")} ${STATES[state]}`).join(", "),
    month.rows > 0 && `${many(month.rows, "row")}, ${many(month.requests, "request")}`, month.open_rows > 0 && `${many(month.open_rows, "row")} still open`];
}

// A year of which nothing is there yet: a cell a month.
function idleBand(dataset, width, year) {
  const left = width > 500 ? 34 : 0, from = Date.UTC(year, 0, 1), to = Date.UTC(year + 1, 0, 1);
  const x = (time) => left + ((Math.min(to, time) - from) / (to - from)) * (width - left);
  const band = new Band(`Months of ${plain(dataset.name)}; Enter shows the month`, width, 14, (cell) => zoomTo("month", cell.time));
  const update = (dataset) => band.draw(monthly({ ...dataset, days: yearDays(dataset, year) }).map((month, index) => {
    const end = Date.UTC(year, +month.key.slice(5), 1);
    return { key: month.key, time: month.time, x: x(month.time), y: 0, w: x(end) - x(month.time) - 3, h: 14, column: index, row: 0, kind: month.state, level: 0, tip: () => monthTip(dataset, month) };
  }));
  return { band, update };
}

function yearsBand(dataset, width, _year, _month, known) {
  const months = monthly(dataset);
  if (!months.length) return { update() {} };
  const gap = 3, firstYear = known[0], lastYear = known[known.length - 1];
  // whole years a line, as many as fit
  const perLine = Math.max(1, Math.min(lastYear - firstYear + 1, Math.floor(width / (12 * 14 + 10))));
  const size = Math.min(24, Math.floor((width - 10 * perLine) / (12 * perLine)) - gap), yearWidth = 12 * (size + gap) + 10;
  const lines = Math.ceil((lastYear - firstYear + 1) / perLine), lineHeight = size + 22;
  const band = new Band(`Months of ${plain(dataset.name)}; Enter shows the year`, width, lines * lineHeight, (cell) => zoomTo("year", cell.time));
  const update = (dataset) => {
    const months = monthly(dataset), most = Math.max(...months.map((m) => m.rows));
    const cells = months.map((month) => {
      const nth = +month.key.slice(0, 4) - firstYear, line = Math.floor(nth / perLine), m = +month.key.slice(5) - 1;
      return {
        key: month.key, time: month.time, x: (nth % perLine) * yearWidth + m * (size + gap), y: line * lineHeight + 15, w: size, h: size,
        column: (nth % perLine) * 12 + m, row: line, kind: month.state, level: level(month.rows, most), open: month.open_rows > 0,
        tip: () => monthTip(dataset, month),
      };
    });
    const texts = [];
    for (let nth = 0; nth <= lastYear - firstYear; nth++) texts.push(s("text", { x: (nth % perLine) * yearWidth, y: Math.floor(nth / perLine) * lineHeight + 10 }, firstYear + nth));
    band.draw(cells, texts);
  };
  return { band, update };
}

const yearDays = (dataset, year) => dataset.days.filter((day) => day.time >= Date.UTC(year, 0, 1) && day.time < Date.UTC(year + 1, 0, 1));

function yearBand(dataset, width, year) {
  const within = (d) => yearDays(d, year), days = within(dataset);
  if (!days.length) return { note: `nothing of it is in ${year}`, update() {} };
  // a dataset that waits for its turn takes the room of a line
  if (days.length > 14 && days.every((day) => day.state === "waiting")) return idleBand({ ...dataset, days }, width, year);
  const gap = 3, left = width > 500 ? 34 : 0, monday = days[0].time - weekday(days[0].time) * DAY;
  const weeks = Math.floor((days[days.length - 1].time - monday) / (7 * DAY)) + 1;
  // few days stand in one line, more in weeks; where a year does not fit, in two or more lines
  const flat = days.length <= 14;
  const fits = Math.max(1, Math.floor((width - left) / 14));
  const perLine = flat ? 14 : weeks <= fits ? weeks : Math.ceil(weeks / Math.ceil(weeks / fits));
  const size = Math.max(10, Math.min(flat ? 22 : 18, Math.floor((width - left) / Math.max(perLine, flat ? 14 : Math.min(fits, 53))) - gap));
  const lines = flat ? 1 : Math.ceil(weeks / perLine), lineHeight = (flat ? 1 : 7) * (size + gap) + 22;
  const band = new Band(`Days of ${plain(dataset.name)}; Enter shows the history of a day`, width, lines * lineHeight - (lines > 1 ? 0 : 4), openDay(dataset));
  const update = (dataset) => {
    const days = within(dataset), texts = [];
    let said = -1;
    const cells = days.map((day, index) => {
      const week = flat ? index : Math.floor((day.time - monday) / (7 * DAY)), line = flat ? 0 : Math.floor(week / perLine);
      const column = flat ? index : week % perLine, row = flat ? 0 : weekday(day.time), x = left + column * (size + gap), top = line * lineHeight + 16;
      const month = new Date(day.time).getUTCMonth();
      if (month !== said && (row === 0 || index === 0 || new Date(day.time).getUTCDate() === 1)) {
        texts.push(s("text", { x, y: top - 5 }, flat ? dayText(day.time, false) : MONTHS[month]));
        said = month;
      }
      return { key: day.date, time: day.time, x, y: top + row * (size + gap), w: size, h: size, column, row: line * 7 + row, kind: kindOf(day), level: level(day.rows, dataset.most), open: day.open_rows > 0, tip: () => dayTip(dataset, day) };
    });
    if (left && !flat) for (let line = 0; line < lines; line++) for (const row of [0, 2, 4]) texts.push(s("text", { x: 0, y: line * lineHeight + 16 + row * (size + gap) + size / 2 + 4 }, WEEK[row]));
    band.draw(cells, texts);
  };
  return { band, update };
}

const firstOfMonth = (time) => Date.UTC(new Date(time).getUTCFullYear(), new Date(time).getUTCMonth(), 1);

function monthBand(dataset, full, year, month) {
  const few = dataset.days.length <= FEW_DAYS;
  const from = few ? firstOfMonth(dataset.days[0]?.time) : Date.UTC(year, month, 1), to = few ? Infinity : Date.UTC(year, month + 1, 1);
  const within = (d) => d.days.filter((day) => day.time >= from && day.time < to);
  if (!within(dataset).length) return { note: `nothing of it is in ${MONTHS[month]} ${year}`, update() {} };
  const count = Math.max(1, Math.floor((full + 28) / 368)), width = Math.floor((full - 28 * (count - 1)) / count);
  const gap = 4, size = Math.floor((Math.min(width, 430) - 6 * gap) / 7), tall = Math.round(size * 0.72), lead = weekday(from);
  const shown = within(dataset), top = Math.floor((lead + (shown[0].time - from) / DAY) / 7);
  const rows = Math.floor((lead + (shown[shown.length - 1].time - from) / DAY) / 7) - top + 1;
  const band = new Band(`Days of ${plain(dataset.name)}; Enter shows the history of a day`, 7 * (size + gap) - gap, rows * (tall + gap) + 14, openDay(dataset));
  const update = (dataset) => {
    const texts = WEEK.map((name, column) => s("text", { x: column * (size + gap) + 2, y: 9 }, name));
    const shown = within(dataset);
    const cells = shown.map((day) => {
      const nth = lead + (day.time - from) / DAY, column = nth % 7, row = Math.floor(nth / 7) - top, x = column * (size + gap), y = row * (tall + gap) + 14;
      const cell = { key: day.date, time: day.time, x, y, w: size, h: tall, column, row, kind: kindOf(day), level: level(day.rows, dataset.most), open: day.open_rows > 0, tip: () => dayTip(dataset, day) };
      const whole = ["committed", "split", "doubtful"].includes(cell.kind);
      const look = (whole && cell.level >= 3 && !(cell.level === 3 && LIGHT.matches)) || cell.kind === "fetching" ? "on" : whole || cell.kind === "partial" ? "ink" : "";
      if (cell.kind !== "failed") {
        const date = new Date(day.time), first = date.getUTCDate() === 1 || day === shown[0];
        texts.push(s("text", { x: x + 5, y: y + 13, class: look + " num" }, first && size > 40 ? dayText(day.time, false) : date.getUTCDate()));
        if (day.rows > 0 && tall > 26 && size > 34) texts.push(s("text", { x: x + size - 5, y: y + tall - 6, class: look + " num", "text-anchor": "end" }, short(day.rows)));
      }
      return cell;
    });
    band.draw(cells, texts);
  };
  return { band, update };
}

const LIGHT = matchMedia("not all and (prefers-color-scheme: dark)");

// The legend counts the days of all datasets by their states.
function drawLegend(datasets) {
  const counts = {};
  let open = 0;
  for (const dataset of datasets) for (const day of dataset.days) {
    const kind = kindOf(day);
    counts[kind] = (counts[kind] || 0) + 1;
    if (day.open_rows > 0) open++;
  }
  const entries = [...["committed", "split", "fetching", "partial", "waiting", "doubtful", "failed", "denied"].filter((kind) => counts[kind]).map((kind) => [kind, STATES[kind], counts[kind], false]),
    open > 0 && ["committed", "with open rows", open, true]].filter(Boolean);
  const key = JSON.stringify(entries);
  if ($("legend").dataset.shown === key) return;
  $("legend").dataset.shown = key;
  clear($("legend"), entries.map(([kind, text, count, withOpen]) => {
    const [defs, fill] = hatch();
    const swatch = s("svg", { width: 14, height: 14, "aria-hidden": "true" }, defs, paint([{ x: 0, y: 0, w: 14, h: 14, kind, level: withOpen ? 1 : 3, open: withOpen }], fill));
    return h("span", { "data-kind": withOpen ? "open" : kind, "data-count": count }, swatch, `${text} `, h("b", null, number(count)));
  }));
}

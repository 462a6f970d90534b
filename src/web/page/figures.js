// The data themselves: rows and handle time by day, by hour of the week and by media type.

// `chosen` by a person; else the dataset that has most to show.
const figures = { chosen: null, dataset: null };
const MEDIA = 5;

// Adds a sum of the overview to rows, rows with a handle time and handle time.
function addSum(to, sum) {
  to.rows += sum.rows;
  to.handled += sum.rows_handled || 0;
  to.handle += sum.handle_s || 0;
  return to;
}
const noSum = () => ({ rows: 0, handled: 0, handle: 0 });
const average = (sum) => sum.handled > 0 ? sum.handle / sum.handled : null;

function figuresOf(sums) {
  const media = new Map(), days = new Map(), hours = Array.from({ length: 168 }, noSum), weeks = new Set();
  for (const sum of sums.days) {
    const time = ms(sum.date + "T00:00:00Z");
    media.set(sum.media, addSum(media.get(sum.media) || { name: sum.media, ...noSum() }, sum));
    const day = days.get(time) || { time, media: new Map(), ...noSum() };
    day.media.set(sum.media, (day.media.get(sum.media) || 0) + sum.rows);
    days.set(time, addSum(day, sum));
    weeks.add(Math.floor((time / DAY + 3) / 7));
  }
  for (const sum of sums.hours) addSum(hours[sum.weekday * 24 + sum.hour], sum);
  return { media: [...media.values()].sort((a, b) => b.rows - a.rows), days: [...days.values()].sort((a, b) => a.time - b.time), hours, weeks: weeks.size || 1 };
}

// The largest media types by their names, the others together.
function grouped(media) {
  if (media.length <= MEDIA + 1) return media.map((one) => ({ ...one, names: [one.name] }));
  const rest = media.slice(MEDIA);
  return [...media.slice(0, MEDIA).map((one) => ({ ...one, names: [one.name] })),
    { name: "others", names: rest.map((one) => one.name), ...rest.reduce((sum, one) => ({ rows: sum.rows + one.rows, handled: sum.handled + one.handled, handle: sum.handle + one.handle }), noSum()) }];
}

const mediaName = (name) => name === "" ? "rows" : plain(name);

// A chart over days: `draw` gets the scale; the keyboard and the pointer choose a day.
function dayChart(label, days, width, height, list, text, content, lines) {
  const left = 44, [y, marks] = axis(width, height, left, list, text);
  const from = days[0].time, to = days[days.length - 1].time + DAY, slot = (width - left) / ((to - from) / DAY);
  const x = (time) => left + ((time - from) / DAY) * slot;
  const cross = s("rect", { class: "ring", y: 0, height, width: Math.max(2, slot), visibility: "hidden" });
  const count = Math.max(1, Math.floor((width - left) / 80)), step = Math.max(1, Math.ceil((to - from) / DAY / count));
  const labels = [];
  for (let at = from; at < to; at += step * DAY) labels.push(s("text", { x: x(at), y: height + 15 }, dayText(at, false)));
  const svg = s("svg", { class: "chart", width, height: height + 20, viewBox: `0 0 ${width} ${height + 20}`, tabindex: 0, role: "slider", "aria-label": label + "; arrow keys move between days", "aria-valuemin": 0, "aria-valuemax": days.length - 1, "data-key": label },
    marks, content(x, y, slot), labels, cross);
  let active = days.length - 1;
  const describe = () => {
    svg.setAttribute("aria-valuenow", active);
    svg.setAttribute("aria-valuetext", lines(days[active]).filter(Boolean).join(", "));
  };
  const show = (clientX, clientY) => {
    cross.setAttribute("x", x(days[active].time));
    cross.setAttribute("visibility", "visible");
    describe();
    const box = svg.getBoundingClientRect();
    tip(lines(days[active]), clientX ?? box.left + x(days[active].time), clientY ?? box.top + 20);
  };
  const hide = () => { cross.setAttribute("visibility", "hidden"); tip(null); };
  svg.addEventListener("pointermove", (event) => {
    const time = from + ((event.clientX - svg.getBoundingClientRect().left - left) / slot - 0.5) * DAY;
    active = days.reduce((best, day, index) => Math.abs(day.time - time) < Math.abs(days[best].time - time) ? index : best, 0);
    show(event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("focus", () => svg.matches(":focus-visible") && show());
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7, Home: -days.length, End: days.length };
    if (!steps[event.key]) return;
    event.preventDefault();
    active = Math.max(0, Math.min(days.length - 1, active + steps[event.key]));
    show();
  });
  describe();
  return svg;
}

function drawFigures() {
  const section = $("data"), sums = app.overview.sums.filter((sum) => sum.days.length);
  const names = sums.map((sum) => sum.dataset);
  section.hidden = !names.length;
  if (section.hidden) return;
  // media types first, then rows
  const weight = (sum) => (sum.days.some((day) => day.media) ? 1e15 : 0) + sum.days.reduce((rows, day) => rows + day.rows, 0);
  figures.dataset = names.includes(figures.chosen) ? figures.chosen : sums.reduce((best, sum) => weight(sum) > weight(best) ? sum : best).dataset;
  const { media, days, hours, weeks } = figuresOf(sums.find((sum) => sum.dataset === figures.dataset));
  const groups = grouped(media), full = room(section);
  const wide = full > 780, width = Math.floor(wide ? (full - 36) / 2 : full);
  const all = days.reduce((sum, day) => ({ rows: sum.rows + day.rows, handled: sum.handled + day.handled, handle: sum.handle + day.handle }), noSum());
  const total = all.rows, hasHandle = all.handled > 0;
  const choose = names.length > 1 && h("select", { "aria-label": "Dataset", "data-key": "dataset", onchange: (event) => { figures.chosen = event.target.value; drawFigures(); } },
    names.map((name) => h("option", { value: name, selected: name === figures.dataset }, plain(name))));

  const rowsOf = (day, group) => group.names.reduce((sum, name) => sum + (day.media.get(name) || 0), 0);
  const rowsChart = dayChart("Rows a day", days, width, 150, ticks(Math.max(...days.map((day) => day.rows)), 3), short,
    (x, y, slot) => {
      const paths = groups.map(() => "");
      for (const day of days) {
        let below = 0;
        groups.forEach((group, index) => {
          const value = rowsOf(day, group);
          if (value) paths[index] += `M${x(day.time).toFixed(1)} ${y(below).toFixed(1)}V${y(below + value).toFixed(1)}h${Math.min(28, Math.max(0.8, slot - (slot > 4 ? 1.5 : 0))).toFixed(1)}V${y(below).toFixed(1)}z`;
          below += value;
        });
      }
      return paths.map((d, index) => s("path", { d, fill: `var(--m${index})` }));
    },
    (day) => [`${WEEK[weekday(day.time)]} ${dayText(day.time)}`, `${many(day.rows, "row")}`, ...(media.length > 1 ? groups.filter((group) => rowsOf(day, group)).map((group) => `${mediaName(group.name)} ${number(rowsOf(day, group))}`) : []), day.handled > 0 && `${duration(average(day))} handle time on average`]);

  const averages = days.map(average);
  const slowest = Math.max(...averages.map((v) => v || 0)), [unit, unitText] = slowest > 7200 ? [3600, " h"] : [60, " min"];
  const handleChart = hasHandle && dayChart("Average handle time a day", days, width, 150, ticks(slowest / unit, 3), (v) => FINE.format(v) + unitText,
    (x, y, slot) => [s("path", { class: "line", d: line(averages.map((v) => v === null ? null : v / unit), (i) => x(days[i].time) + slot / 2, y) })],
    (day) => [`${WEEK[weekday(day.time)]} ${dayText(day.time)}`, day.handled ? `${duration(average(day))} on average` : "no handle time", `${number(day.handled)} of ${many(day.rows, "row")} have one`]);

  const left = 34, cell = (width - left) / 24, tall = Math.max(14, Math.min(20, cell)), most = Math.max(...hours.map((hour) => hour.rows));
  const week = new Band("Rows by hour of the week", width, 7 * (tall + 2) + 18, null);
  week.draw(hours.map((hour, index) => {
    const row = Math.floor(index / 24), column = index % 24;
    return { key: index, x: left + column * cell, y: row * (tall + 2), w: cell - 2, h: tall, column, row, kind: "committed", level: level(hour.rows, most),
      tip: () => [`${WEEK[row]} ${two(column)}:00 to ${two((column + 1) % 24)}:00 UTC`, `${many(Math.round(hour.rows / weeks), "row")} in an average week`, hour.handled > 0 && `${duration(average(hour))} handle time on average`] };
  }), [...WEEK.map((name, row) => s("text", { x: 0, y: row * (tall + 2) + tall / 2 + 4 }, name)), ...[0, 6, 12, 18].map((hour) => s("text", { x: left + hour * cell, y: 7 * (tall + 2) + 12 }, `${two(hour)}:00`))]);
  week.node.dataset.key = "week";

  const table = h("table", { class: "media" },
    h("thead", null, h("tr", null, h("th", null, media.length > 1 ? "Media" : ""), h("th", { class: "r" }, "Rows"), media.length > 1 && h("th", { class: "r share" }, "Share"), hasHandle && h("th", { class: "r" }, "Handle time"))),
    h("tbody", null, groups.map((group, index) => h("tr", null,
      h("td", null, s("svg", { width: 11, height: 11, "aria-hidden": "true", class: "swatch" }, s("rect", { width: 11, height: 11, rx: 3, fill: `var(--m${index})` })), " ", mediaName(group.name)),
      h("td", { class: "r" }, number(group.rows)), media.length > 1 && h("td", { class: "r share" }, total ? FINE.format(100 * group.rows / total) + " %" : "–"), hasHandle && h("td", { class: "r" }, duration(average(group))))),
      media.length > 1 && h("tr", null, h("td", null, "all"), h("td", { class: "r" }, number(total)), h("td", { class: "r share" }, "100 %"), hasHandle && h("td", { class: "r" }, duration(average(all))))));

  const focused = section.contains(document.activeElement) && document.activeElement.dataset.key;
  clear(section,
    h("div", { class: "head" }, h("h2", { id: "data-h" }, "The data"), h("span", { class: "dim small grow" }, `${plain(figures.dataset)}, ${span({ from: new Date(days[0].time).toISOString(), to: new Date(days[days.length - 1].time + DAY).toISOString() })}, hours in UTC`), choose),
    h("div", { class: "figures" },
      h("div", null, h("h3", null, "Rows a day", h("span", null, media.length > 1 ? "by media type" : "")), rowsChart),
      handleChart ? h("div", null, h("h3", null, "Average handle time", h("span", null, "of the rows that started on a day")), handleChart) : null,
      h("div", null, h("h3", null, "Rows by hour of the week"), week.node),
      h("div", null, table)));
  if (focused) section.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

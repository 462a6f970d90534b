// The run over time: lanes that share one time scale, with one cross hair over all of them.

const timeline = { at: null, key: "" };

const rate = (sample, field) => sample.seconds > 0 ? sample[field] / sample.seconds : 0;

// Breaks lines where nothing was measured.
function line(points, x, y) {
  let d = "", pen = false;
  points.forEach((value, index) => {
    if (value === null || value === undefined || !Number.isFinite(value)) { pen = false; return; }
    d += `${pen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  return d;
}

function axis(width, height, left, list, text) {
  const most = list[list.length - 1] || 1;
  const y = (value) => height - (value / most) * (height - 8);
  const marks = list.flatMap((value) => [
    s("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
    s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text(value)),
  ]);
  return [y, marks];
}

// Ticks of a time scale: at most one every 90 pixels.
function timeTicks(from, to, width) {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800].map((n) => n * 1000);
  const step = steps.find((size) => (to - from) / size <= Math.max(2, width / 90)) || 604800000 * Math.ceil((to - from) / 604800000 / 6);
  const list = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) list.push(at);
  return list.map((at) => [at, step >= 86400000 ? dayText(at, false) : clock(at, step < 60000)]);
}

function drawTimeline() {
  const section = $("time"), overview = app.overview, samples = overview.samples;
  section.hidden = samples.length < 2;
  if (section.hidden) return;
  const width = room(section);
  const wide = width > 780 ? Math.floor((width - 36) / 2) : width, left = 44;
  // a sample is of the time up to its end
  const times = samples.map((sample) => ms(sample.at) + sample.seconds * 1000);
  const from = ms(samples[0].at), to = Math.max(times[times.length - 1], from + 1000);
  const scale = (width) => (time) => left + ((Math.max(from, Math.min(to, time)) - from) / (to - from)) * (width - left);
  const xs = times.map(scale(wide)), values = (field) => samples.map((sample) => sample[field]);
  const most = (...lists) => Math.max(0, ...lists.flat().filter(Number.isFinite));

  const lanes = [];
  const lane = (title, height, value, content, across = wide) => {
    const x = scale(across), said = h("span"), cross = s("line", { class: "cross", y1: 0, y2: height, visibility: "hidden" });
    lanes.push({ said, cross, value, x });
    return h("div", { class: "lane" }, h("div", { class: "name" }, h("b", null, title), said),
      s("svg", { width: across, height: height + 20, viewBox: `0 0 ${across} ${height + 20}`, "aria-hidden": "true" }, content,
        timeTicks(from, to, across - left).map(([at, text]) => s("text", { x: x(at), y: height + 15, "text-anchor": x(at) > across - 24 ? "end" : "middle" }, text)), cross));
  };
  const curve = (look, list, y) => s("path", { class: look, d: line(list, (i) => xs[i], y) });
  const area = (list, y, base) => [s("path", { class: "area", d: `M${left} ${base}${line(list, (i) => xs[i], y).replace(/M/, "L").replaceAll("M", "L")}L${xs[xs.length - 1].toFixed(1)} ${base}z` }), curve("line", list, y)];

  const rows = samples.map((sample) => rate(sample, "rows"));
  const [rowsY, rowsMarks] = axis(wide, 120, left, ticks(most(rows), 3), short);
  const rowsLane = lane("Rows a second", 120, (i) => number(rows[i]), [rowsMarks, area(rows, rowsY, 120)]);

  const limits = values("limit"), window = samples.findLast((sample) => sample.window_s)?.window_s;
  const requests = samples.map((sample) => window ? sample.used ?? 0 : rate(sample, "requests") * 60);
  const [requestsY, requestsMarks] = axis(wide, 120, left, ticks(most(requests, limits) * 1.04, 3), short);
  const refused = samples.map((sample, i) => sample.rate_limited > 0 && s("path", { class: "refused", d: `M${xs[i].toFixed(1)} 9l-5 -9h10z` }));
  const requestsTitle = window ? `Requests in ${window === 60 ? "a minute" : duration(window)} against the limit` : "Requests a minute";
  const requestsSaid = (i) => [`${number(requests[i])}${limits[i] ? ` of ${number(limits[i])}` : ""}`, samples[i].rate_limited > 0 && `${number(samples[i].rate_limited)} refused with 429`, samples[i].retries > 0 && many(samples[i].retries, "retry", "retries")].filter(Boolean).join(", ");
  const requestsLane = lane(requestsTitle, 120, requestsSaid, [requestsMarks, area(requests, requestsY, 120), curve("limit", limits, requestsY), refused.filter(Boolean)]);

  const p50 = values("latency_p50_ms"), p95 = values("latency_p95_ms"), seconds = (v) => v === null || v === undefined ? "–" : duration(v / 1000);
  const [latencyY, latencyMarks] = axis(wide, 90, left, ticks(most(p50, p95), 3), (v) => v >= 1000 ? FINE.format(v / 1000) + " s" : FINE.format(v) + " ms");
  const latencyLane = lane("Latency, median and 95 %", 90, (i) => `${seconds(p50[i])}, ${seconds(p95[i])}`, [latencyMarks, curve("line2", p95, latencyY), curve("line", p50, latencyY)]);

  const memory = samples.map((sample) => sample.memory_bytes / 2 ** 20);
  const [memoryY, memoryMarks] = axis(wide, 90, left, ticks(most(memory), 3), (v) => v >= 1024 ? FINE.format(v / 1024) + " G" : v + " M");
  const memoryLane = lane("Memory", 90, (i) => bytes(samples[i].memory_bytes), [memoryMarks, curve("line", memory, memoryY)]);

  const { tokens, pauses } = overview, x = scale(width);
  const bars = (list, look, y, tall, begin, end) => list.map((one, i) => {
    const a = ms(one[begin]), b = one[end] ? ms(one[end]) : to;
    return b >= from && a <= to && s("rect", { class: look, x: x(a), y: y(i), width: Math.max(3, x(b) - x(a)), height: tall, rx: 2 });
  }).filter(Boolean);
  const storySaid = (i) => {
    const pause = pauses.find((p) => ms(p.from) <= times[i] && ms(p.to) >= times[i]);
    const token = tokens.findLast((t) => ms(t.issued) <= times[i]);
    return [pause && `paused: ${plain(pause.reason)}`, token?.expires && `token for another ${duration(Math.max(0, Math.round((ms(token.expires) - times[i]) / 1000)))}`,
      !pause && many(pauses.length, "pause"), many(tokens.length, "token")].filter(Boolean).join(", ");
  };
  const rule = (y) => s("line", { class: "grid", x1: left, x2: width, y1: y, y2: y });
  const story = lane("Token life and pauses", 52, storySaid, [
    s("text", { x: 0, y: 15 }, "token"), s("text", { x: 0, y: 43 }, "pause"), rule(24.5), rule(52),
    bars(tokens, "token", (i) => 3 + (i % 2) * 10, 8, "issued", "expires"), bars(pauses, "pause", () => 32, 12, "from", "to"),
  ], width);
  story.classList.add("wide");

  const nearest = () => timeline.at === null ? samples.length - 1
    : times.reduce((best, time, i) => Math.abs(time - timeline.at) < Math.abs(times[best] - timeline.at) ? i : best, 0);
  const when = h("span", { class: "dim small" });
  const node = h("div", { class: "lanes", tabindex: 0, role: "slider", "aria-label": "Time of the run; arrow keys move", "aria-valuemin": 0, "aria-valuemax": samples.length - 1, "data-key": "lanes" },
    rowsLane, requestsLane, latencyLane, memoryLane, story);
  const show = () => {
    const i = nearest(), moved = timeline.at !== null;
    for (const { said, cross, value, x } of lanes) {
      said.textContent = value(i);
      cross.setAttribute("visibility", moved ? "visible" : "hidden");
      for (const end of ["x1", "x2"]) cross.setAttribute(end, x(times[i]));
    }
    when.textContent = moved ? `at ${clock(times[i], true)} UTC` : `${clock(from, to - from < 600000)} to ${clock(to, to - from < 600000)} UTC; beside each title its last value`;
    node.setAttribute("aria-valuenow", i);
    node.setAttribute("aria-valuetext", `${clock(times[i], true)}: ${number(rows[i])} rows a second, requests ${requestsSaid(i)}, median latency ${seconds(p50[i])}, ${bytes(samples[i].memory_bytes)}`);
  };
  const rest = () => { timeline.at = null; show(); };
  node.addEventListener("pointermove", (event) => {
    const box = event.target.closest?.("svg")?.getBoundingClientRect();
    if (!box) return;
    timeline.at = from + ((event.clientX - box.left - left) / (box.width - left)) * (to - from);
    show();
  });
  node.addEventListener("pointerleave", rest);
  node.addEventListener("blur", rest);
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -samples.length, End: samples.length }[event.key];
    if (!step) return;
    event.preventDefault();
    timeline.at = times[Math.max(0, Math.min(samples.length - 1, nearest() + step))];
    show();
  });
  const focused = document.activeElement?.dataset?.key === "lanes", at = timeline.at;
  clear(section, h("div", { class: "head" }, h("h2", { id: "time-h" }, overview.state.running ? "This run" : "The last run"), when), node);
  if (focused) { node.focus({ preventScroll: true }); timeline.at = at; }
  show();
}

// What is said in words and numbers: the state, the numbers, what needs a person, the runs.

const OUTCOMES = {
  complete: ["good", "complete"], gaps: ["warn", "incomplete"], interrupted: ["warn", "interrupted"],
  credentials: ["bad", "denied"], usage: ["bad", "not started"], fatal: ["bad", "failed"],
};
const outcome = (name) => OUTCOMES[name] || ["warn", plain(name)];

function dayCounts(overview) {
  const counts = { all: 0, whole: 0, failed: 0, denied: 0 };
  for (const dataset of overview.datasets) for (const day of dataset.days) {
    counts.all++;
    if (day.state === "committed" || day.state === "doubtful") counts.whole++;
    if (day.state === "failed" || day.state === "denied") counts[day.state]++;
  }
  return counts;
}

function drawHeader() {
  const o = app.overview, run = o.run || {}, running = Boolean(o.state?.running), counts = dayCounts(o);
  document.title = `${running ? Math.floor(100 * (o.progress?.share || 0)) + " % · " : ""}${plain(o.name)} · cxbackfill`;
  $("name").textContent = plain(o.name);
  $("where").textContent = [o.source && o.source !== o.name && plain(o.source), [o.platform, o.region].filter(Boolean).map(plain).join(" "), span(o.interval)].filter(Boolean).join(" · ");
  const words = plain(o.state?.words || "");
  const bad = /fail|no connection|refus|denied/i.test(words), [tone, ended] = run.outcome ? outcome(run.outcome) : ["busy", ""];
  const lost = app.live && !app.connected;
  $("state").dataset.tone = lost ? "bad" : running ? (bad ? "bad" : "busy") : tone === "good" ? "good" : tone === "bad" ? "bad" : "busy";
  const chip = lost ? "the program does not answer; trying again" : running ? words || "running" : words === run.outcome ? ended : words || ended;
  if ($("state").lastElementChild.textContent !== chip) $("state").lastElementChild.textContent = chip;

  const missing = counts.all - counts.whole;
  const whole = counts.all ? `${number(counts.whole)} of ${many(counts.all, "day")} ${counts.whole === 1 ? "is" : "are"} whole` : "";
  const left = o.progress?.eta_s > 0 ? `about ${duration(o.progress.eta_s)} left` : "the time left is not known yet";
  const needs = o.problems.filter((p) => p.cause !== "open").length, needsText = needs ? `${many(needs, "thing")} ${needs === 1 ? "needs" : "need"} you` : "nothing needs you";
  const took = run.started && run.ended ? ` after ${duration((ms(run.ended) - ms(run.started)) / 1000)}` : "";
  let text;
  if (running) text = [whole, left, needsText].filter(Boolean).join("; ");
  else if (run.ended) text = `The last run ended ${moment(run.ended)} UTC${took}: ${ended}. ${missing ? `${whole}; ` : counts.all ? `All ${many(counts.all, "day")} are whole; ` : ""}${needsText}`;
  else text = run.started ? `The last run began ${moment(run.started)} UTC and did not say how it ended: it was killed, or runs on another machine. ${whole}` : `No run yet. ${whole}`;
  $("headline").textContent = text + ".";
  const bar = $("progress"), share = Math.max(0, Math.min(1, o.progress?.share || 0));
  bar.hidden = !running;
  bar.firstElementChild.style.width = `${100 * share}%`;
  bar.setAttribute("aria-valuenow", Math.floor(100 * share));
  const who = [run.host && plain(run.user ? `${run.user}@${run.host}` : run.host), run.pid && `process ${run.pid}`].filter(Boolean).join(", ");
  $("foot").textContent = `${app.over ? `The program has ended; this page shows its last word of ${moment(o.generated, true)}; times are UTC. ` : app.live ? "Read-only, times are UTC." : `Written ${moment(o.generated)}, times are UTC.`} ${who ? `Run ${run.id ?? ""}: ${who}${run.started ? `, since ${moment(run.started, true)}` : ""}. ` : ""}cxbackfill`;
}

function drawNumbers() {
  const o = app.overview, t = o.totals || {}, p = o.progress || {}, running = Boolean(o.state?.running), run = o.run || {}, counts = dayCounts(o);
  const limit = (o.limits || []).filter((l) => l.limit > 0).sort((a, b) => b.used / b.limit - a.used / a.limit)[0];
  const took = run.started && (run.ended || running) ? (ms(run.ended || o.generated) - ms(run.started)) / 1000 : null;
  const tiles = [
    [number(t.rows_committed), `rows in ${many(t.files, "file")}, ${bytes(t.bytes)}${running && p.rows_per_second > 0 ? `; ${number(p.rows_per_second)} a second` : ""}`],
    running ? [p.eta_s > 0 ? duration(p.eta_s) : "–", p.eta_s > 0 ? `left of this run; ${duration(took)} so far` : `time left, not known yet; ${duration(took)} so far`]
      : [duration(took), took === null ? "no run has ended" : "took the last run"],
    running && limit ? [`${number(limit.used)} / ${number(limit.limit)}`, `requests in this ${limit.per_s === 60 ? "minute" : duration(limit.per_s)}; ${number(t.rate_limited)} refused, ${many(t.retries, "retry", "retries")}`]
      : [number(t.requests), `requests; ${number(t.rate_limited)} refused, ${many(t.retries, "retry", "retries")}`],
    [`${number(counts.whole)} / ${number(counts.all)}`, `days ${o.datasets.length > 1 ? `of ${number(o.datasets.length)} datasets ` : ""}whole${counts.failed ? `, ${number(counts.failed)} failed` : ""}${counts.denied ? `, ${number(counts.denied)} denied` : ""}`],
  ];
  const box = $("numbers");
  if (box.childElementCount !== tiles.length) clear(box, tiles.map(() => h("div", { class: "card" }, h("b"), h("span"))));
  tiles.forEach(([value, text], index) => {
    const [b, span] = box.children[index].children;
    if (b.textContent !== value) b.textContent = value;
    if (span.textContent !== text) span.textContent = text;
  });
}

// Commands in backquotes become code, everything stays text.
const withCode = (text) => plain(text).split("`").map((part, index) => index % 2 ? h("code", null, part) : part);
const CAUSES = { denied: "bad", failed: "bad", credentials: "bad", usage: "bad", fatal: "bad", open: "news", "not-yet-available": "news" };

const factRow = ([dataset, when, tone, cause, what]) => h("tr", null,
  h("td", { class: "where" }, plain(dataset), when ? h("div", { class: "dim small" }, when) : null),
  h("td", { class: "full" }, h("span", { class: "tag " + tone }, plain(cause)), what));
const factTable = (rows) => h("table", { class: "facts needs" }, h("thead", null, h("tr", null, h("th", null, "Where"), h("th", null, "What"))), h("tbody", null, rows.map(factRow)));

// A section with a list whose first lines are seen at once. It is drawn again only if it changed.
function drawFacts(section, title, source, line, few, none) {
  const key = JSON.stringify(source), open = section.querySelector("details")?.open;
  section.hidden = !source.length && !none;
  if (section.dataset.shown === key) return;
  section.dataset.shown = key;
  const rows = source.slice(0, 500).map(line);
  clear(section, h("div", { class: "head" }, h("h2", { id: section.id + "-h" }, title), source.length ? null : h("span", { class: "dim small" }, none)),
    rows.length ? factTable(rows.slice(0, few)) : null,
    rows.length > few ? h("details", { open }, h("summary", null, `${number(source.length - few)} more`), factTable(rows.slice(few))) : null);
}

function problemRow(p) {
  return [p.dataset ?? "the run", span(p.interval), CAUSES[p.cause] || "warn", p.cause,
    [withCode(p.reason), p.correlation ? [" (correlation id ", h("code", null, plain(p.correlation)), ")"] : null, p.advice ? h("div", { class: "dim" }, withCode(p.advice)) : null]];
}

function fieldRow(f) {
  return [f.dataset, f.first_seen ? `since ${dayText(ms(f.first_seen))}` : "", "news", f.kind.replaceAll("-", " "),
    [f.path ? h("code", null, plain(f.path)) : "values without a path", ` in ${many(f.rows, "row")}, values of type ${plain(f.value_type)}, kept in `, h("code", null, "_extra"),
      f.column ? h("div", { class: "dim" }, "to make it a column, add to ", h("code", null, plain(`[type.${f.column.type}]`)), " ", h("code", null, plain(f.column.line))) : null]];
}

// Open rows need nobody, so they stand with the news.
function drawNeeds() {
  const { problems, new_fields } = app.overview, calm = (p) => p.cause === "open";
  drawFacts($("needs"), "What needs you", problems.filter((p) => !calm(p)), problemRow, 8, "Nothing: no part failed, and nothing is in doubt.");
  drawFacts($("news"), "Worth knowing", [...problems.filter(calm), ...new_fields], (one) => "path" in one ? fieldRow(one) : problemRow(one), 6, null);
}

function drawRuns() {
  const section = $("runs"), { state, run, totals } = app.overview;
  // the running one has its numbers elsewhere
  const now = (r) => state.running && run && r.id === run.id ? { ...r, running: true, rows: totals.rows, requests: totals.requests, retries: totals.retries, rate_limited: totals.rate_limited } : r;
  const runs = app.overview.runs.map(now);
  const key = JSON.stringify(runs);
  section.hidden = !runs.length;
  if (section.dataset.shown === key) return;
  section.dataset.shown = key;
  const line = (r) => {
    const [tone, words] = r.running ? ["news", "running"] : r.outcome ? outcome(r.outcome) : ["warn", "killed"];
    return h("tr", null,
      h("td", { class: "full" }, moment(r.started)), h("td", null, h("span", { class: "tag " + tone }, words)),
      h("td", { class: "r", "data-k": "rows" }, number(r.rows)), h("td", { class: "r", "data-k": "requests" }, number(r.requests)),
      h("td", { class: "r", "data-k": "retries" }, number(r.retries)), h("td", { class: "r", "data-k": "refused" }, number(r.rate_limited)),
      h("td", { class: "r" }, duration(r.duration_s)));
  };
  const head = () => h("thead", null, h("tr", null, ["Started", "Outcome"].map((t) => h("th", null, t)), ["Rows", "Requests", "Retries", "Refused", "Took"].map((t) => h("th", { class: "r" }, t))));
  const table = (list) => h("table", { class: "facts runs" }, head(), h("tbody", null, list.map(line)));
  clear(section, h("div", { class: "head" }, h("h2", { id: "runs-h" }, "Runs"), h("span", { class: "dim small" }, `${number(runs.length)} in the ledger, times UTC`)),
    table(runs.slice(0, 7)), runs.length > 7 ? h("details", null, h("summary", null, `${number(runs.length - 7)} earlier`), table(runs.slice(7, 400))) : null);
}

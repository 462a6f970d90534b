// Elements and texts. Everything that comes from data becomes a text node, never markup.
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function put(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const h = (name, attributes, ...children) => put(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) => put(document.createElementNS(SVG, name), attributes, children);
const clear = (node, ...children) => { node.replaceChildren(...children.flat(Infinity).filter(Boolean)); return node; };

// A text of a platform as it can be shown: control characters, and those that turn the direction of
// writing around or are not visible, are written out.
function plain(text) {
  return String(text ?? "").replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => "\\u{" + c.codePointAt(0).toString(16) + "}");
}

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const BRIEF = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 2 });
const FINE = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
const number = (n) => (n !== null && n !== undefined && Number.isFinite(+n)) ? (Math.abs(n) < 10 ? FINE : WHOLE).format(n) : "–";
const many = (n, one, more) => `${number(n)} ${n === 1 ? one : more || one + "s"}`;
function short(n) {
  for (const [size, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (n >= size) return FINE.format(n / size) + unit;
  return FINE.format(n);
}
function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  for (const [size, unit] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (n >= size) return FINE.format(n / size) + " " + unit;
  }
  return WHOLE.format(n) + " B";
}
function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(+seconds)) return "–";
  if (seconds < 1) return Math.round(seconds * 1000) + " ms";
  if (seconds < 10) return BRIEF.format(seconds) + " s";
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count} ${unit}`);
    if (parts.length === 2 || (parts.length && !count)) break;
  }
  return parts.join(" ") || "0 s";
}

// All times are UTC, as in the data.
const DAY = 86400000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const ms = (text) => Date.parse(text);
const weekday = (time) => (new Date(time).getUTCDay() + 6) % 7;
const isoDay = (time) => new Date(time).toISOString().slice(0, 10);
const two = (n) => String(n).padStart(2, "0");
function dayText(time, withYear = true) {
  const d = new Date(time);
  return Number.isNaN(+d) ? "–" : `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}${withYear ? " " + d.getUTCFullYear() : ""}`;
}
function clock(time, seconds) {
  const d = new Date(time);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${seconds ? ":" + two(d.getUTCSeconds()) : ""}`;
}
const moment = (text, seconds) => text ? `${dayText(ms(text))}, ${clock(ms(text), seconds)}` : "–";
// An interval whose end is not part of it: `10 Feb 2026, 09:00–09:30`, `1 Jan to 31 Dec 2026`.
function span(interval) {
  if (!interval || !interval.from) return "";
  const from = ms(interval.from), to = ms(interval.to);
  if (from % DAY === 0 && to % DAY === 0) {
    const last = to - DAY;
    if (last <= from) return dayText(from);
    return `${dayText(from, new Date(from).getUTCFullYear() !== new Date(last).getUTCFullYear())} to ${dayText(last)}`;
  }
  const end = isoDay(from) === isoDay(to - 1) && to % DAY !== 0 ? clock(to) : `${dayText(to)}, ${clock(to)}`;
  return `${dayText(from)}, ${clock(from)}–${end}`;
}

// The room for pictures in a section, also while a window has none yet.
const room = (section) => Math.max(240, Math.floor(section.clientWidth - 2 * parseFloat(getComputedStyle(section).paddingLeft)));

// The one hint that follows pointer and focus: a bold line, then lines.
function tip(lines, x, y) {
  const node = $("tip");
  if (!lines) { node.hidden = true; return; }
  clear(node, h("b", null, lines[0]), lines.slice(1).filter(Boolean).map((line) => h("span", null, line)));
  node.hidden = false;
  const { width, height } = node.getBoundingClientRect();
  const left = Math.max(8, Math.min(innerWidth - width - 8, x + 12));
  const top = y + 16 + height > innerHeight ? y - height - 12 : y + 16;
  node.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.max(4, top))}px)`;
}

// Largest value of a scale and its ticks: 1, 2 or 5 times a power of ten.
function ticks(most, count) {
  if (!(most > 0)) return [0, 1];
  const rough = most / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough);
  const list = [];
  for (let value = 0; value < most + step * 0.999; value += step) list.push(value);
  return list;
}

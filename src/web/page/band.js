// A picture of cells: few paths, however many cells. Arrow keys move between cells, Enter and a click
// choose one. To a screen reader it is a slider whose value is the text of the cell.
//
// A cell: { x, y, w, h, column, row, kind, level, open, tip: () => lines, mark }

const roundedRect = (x, y, w, hh, r) =>
  `M${x + r} ${y}h${w - 2 * r}a${r} ${r} 0 0 1 ${r} ${r}v${hh - 2 * r}a${r} ${r} 0 0 1 ${-r} ${r}h${2 * r - w}a${r} ${r} 0 0 1 ${-r} ${-r}v${2 * r - hh}a${r} ${r} 0 0 1 ${r} ${-r}z`;

let patterns = 0;
function hatch() {
  const id = "hatch" + patterns++;
  const pattern = s("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    s("rect", { width: 5, height: 5, class: "hatch-a" }), s("rect", { width: 2.4, height: 5, class: "hatch-b" }));
  return [s("defs", null, pattern), `url(#${id})`];
}

// The paths of cells, one for each look.
function paint(cells, fill) {
  const paths = new Map();
  const add = (look, d) => paths.set(look, (paths.get(look) || "") + d);
  for (const c of cells) {
    const r = Math.min(3, c.w / 4);
    const outline = () => roundedRect(c.x + 0.6, c.y + 0.6, c.w - 1.2, c.h - 1.2, r);
    const box = roundedRect(c.x, c.y, c.w, c.h, r);
    if (c.kind === "waiting") add("waiting", outline());
    else if (c.kind === "fetching") add("fetching", box);
    else if (c.kind === "failed") add("failed", outline());
    else if (c.kind === "denied") {
      add("denied", outline());
      add("denied", `M${c.x + c.w * 0.28} ${c.y + c.h / 2}h${c.w * 0.44}`);
    }
    else if (c.kind === "partial") {
      add("l" + c.level, `M${c.x + 1} ${c.y + c.h / 2}h${c.w - 2}v${c.h / 2 - 1}h${2 - c.w}z`);
      add("partial", outline());
    } else add("l" + c.level, box);
    if (c.kind === "split") add("cut", `M${c.x + c.w / 2} ${c.y}v${c.h}`);
    if (c.kind === "doubtful") add("doubt", `M${c.x + c.w} ${c.y + c.h * 0.35}v${c.h * 0.65}h${-c.w * 0.65}z`);
    if (c.open) {
      const q = Math.max(2.2, Math.min(4, c.w / 6));
      add("open", `M${c.x + c.w - 2 * q - 0.5} ${c.y + q + 0.5}a${q} ${q} 0 1 1 ${2 * q} 0a${q} ${q} 0 1 1 ${-2 * q} 0z`);
    }
  }
  const order = ["l0", "l1", "l2", "l3", "l4", "waiting", "partial", "fetching", "failed", "denied", "cut", "doubt", "open"];
  return order.filter((look) => paths.has(look)).map((look) =>
    s("path", { class: look, d: paths.get(look), fill: look === "failed" ? fill : null }));
}

class Band {
  constructor(label, width, height, choose) {
    const [defs, fill] = hatch();
    this.fill = fill;
    this.choose = choose;
    this.label = label;
    this.active = 0;
    this.marks = s("g", { "aria-hidden": "true" });
    this.back = s("g", { "aria-hidden": "true" });
    this.ring = s("rect", { class: "ring", rx: 3, visibility: "hidden" });
    this.node = s("svg", { class: "band", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": 0, width, height, viewBox: `0 0 ${width} ${height}` },
      defs, this.back, this.marks, this.ring);
    this.node.addEventListener("pointermove", (event) => {
      const found = this.at(event);
      if (found < 0) tip(null); else tip(this.cells[found].tip(), event.clientX, event.clientY);
    });
    this.node.addEventListener("pointerleave", () => tip(null));
    this.node.addEventListener("click", (event) => {
      const found = this.at(event);
      if (found >= 0) { this.active = found; tip(null); this.choose?.(this.cells[found]); }
    });
    this.node.addEventListener("focus", () => this.node.matches(":focus-visible") && this.show());
    this.node.addEventListener("blur", () => { this.ring.setAttribute("visibility", "hidden"); tip(null); });
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  // Draws the cells; `texts` are drawn above them.
  draw(cells, texts = []) {
    this.cells = cells;
    this.places = new Map(cells.map((c, index) => [c.column + "," + c.row, index]));
    this.active = Math.min(this.active, Math.max(0, cells.length - 1));
    this.back.replaceChildren(...paint(cells, this.fill));
    this.marks.replaceChildren(...texts);
    this.node.setAttribute("aria-valuemax", Math.max(0, cells.length - 1));
    this.describe();
  }

  describe() {
    const cell = this.cells[this.active];
    this.node.setAttribute("aria-valuenow", this.active);
    this.node.setAttribute("aria-valuetext", cell ? cell.tip().filter(Boolean).join(", ") : "nothing");
  }

  at(event) {
    const box = this.node.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    return this.cells.findIndex((c) => x >= c.x - 1.5 && x < c.x + c.w + 1.5 && y >= c.y - 1.5 && y < c.y + c.h + 1.5);
  }

  show() {
    const cell = this.cells[this.active];
    if (!cell) return;
    for (const [key, value] of Object.entries({ x: cell.x - 1.5, y: cell.y - 1.5, width: cell.w + 3, height: cell.h + 3, visibility: "visible" })) this.ring.setAttribute(key, value);
    this.describe();
    const box = this.node.getBoundingClientRect();
    tip(cell.tip(), box.left + cell.x + cell.w / 2, box.top + cell.y + cell.h / 2);
  }

  key(event) {
    const cell = this.cells[this.active];
    if (!cell) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    let next = this.active;
    if (steps[event.key]) {
      const [dc, dr] = steps[event.key];
      const place = this.places.get((cell.column + dc) + "," + (cell.row + dr));
      next = place ?? Math.max(0, Math.min(this.cells.length - 1, this.active + (dc || dr)));
    } else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = this.cells.length - 1;
    else if (event.key === "PageUp") next = Math.max(0, this.active - 28);
    else if (event.key === "PageDown") next = Math.min(this.cells.length - 1, this.active + 28);
    else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); tip(null); this.choose?.(cell); return; }
    else if (event.key === "Escape") { tip(null); return; }
    else return;
    event.preventDefault();
    this.active = next;
    this.show();
  }
}

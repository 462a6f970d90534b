// Run in the page: what a person who cannot see well, or uses no mouse, needs.
(() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const colour = (text) => { const m = /rgba?\(([^)]+)\)/.exec(text); return m && m[1].split(/[ ,/]+/).map(Number); };
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = (top, below, alpha) => top.slice(0, 3).map((v, i) => v * alpha + below[i] * (1 - alpha));

  // The colour behind a point: every layer under it that is not the text itself.
  function behind(x, y, own) {
    const layers = [];
    for (const node of document.elementsFromPoint(x, y)) {
      if (node === own && own instanceof SVGElement) continue;
      const style = getComputedStyle(node), opacity = Number(style.opacity);
      const fill = node instanceof SVGElement ? (node.tagName === "svg" || node.tagName === "text" ? null : colour(style.fill)) : colour(style.backgroundColor);
      if (fill && (fill[3] ?? 1) > 0) {
        layers.push([fill, (fill[3] ?? 1) * opacity]);
        if ((fill[3] ?? 1) * opacity === 1) break;
      }
    }
    return layers.reverse().reduce((below, [fill, alpha]) => over(fill, below, alpha), [255, 255, 255]);
  }

  function contrast() {
    const weak = [];
    let checked = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode, node = text.parentElement;
      if (!text.data.trim() || ["SCRIPT", "STYLE", "OPTION", "NOSCRIPT"].includes(node.tagName)) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      const box = range.getClientRects()[0];
      if (!box || !box.width || !node.checkVisibility({ visibilityProperty: true })) continue;
      scrollTo(0, scrollY + box.top - innerHeight / 2);
      const at = range.getClientRects()[0], x = at.left + Math.min(3, at.width / 2), y = at.top + at.height / 2;
      const seen = document.elementFromPoint(x, y);
      if (!seen) continue;
      const style = getComputedStyle(node), own = colour(node instanceof SVGElement ? style.fill : style.color);
      const a = luminance(own), b = luminance(behind(x, y, node)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const disabled = node.closest("button:disabled");
      checked++;
      if (!disabled && ratio < (large ? 3 : 4.5)) weak.push(`${text.data.trim().slice(0, 40)}: ${ratio.toFixed(2)} in <${node.tagName} class=${node.getAttribute("class")}>`);
    }
    scrollTo(0, 0);
    return { checked, weak };
  }

  // Everything that scrolls sideways, or that a finger can hardly hit.
  function cramped() {
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
    for (const node of document.querySelectorAll("main *")) {
      const box = node.getBoundingClientRect();
      if (box.width && box.right > innerWidth + 1 && !(node instanceof SVGElement && node.tagName !== "svg")) found.push(`${node.tagName}.${node.getAttribute("class")} ends at ${Math.round(box.right)}`);
    }
    for (const node of document.querySelectorAll("button")) {
      const box = node.getBoundingClientRect();
      if (box.width && box.height < 24) found.push(`button ${node.textContent} is ${box.height} high`);
    }
    return found;
  }

  const counts = () => Object.fromEntries([...document.querySelectorAll("#legend [data-kind]")].map((node) => [node.dataset.kind, Number(node.dataset.count)]));
  window.checks = { contrast, cramped, counts };
})();

"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const size = data.hosts.length;
  const figures = [...document.querySelectorAll("figure[data-matrix]")];
  const tip = document.getElementById("tip");

  // The levels are in the pictures: one byte per dot behind the palette, without filters.
  async function levels(image) {
    const text = atob(image.src.slice(image.src.indexOf(",") + 1));
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
      if (text.slice(at + 4, at + 8) === "IDAT") {
        const part = bytes.subarray(at + 8, at + 8 + view.getUint32(at));
        const stream = new Blob([part]).stream().pipeThrough(new DecompressionStream("deflate"));
        return new Uint8Array(await new Response(stream).arrayBuffer());
      }
    }
    return new Uint8Array();
  }
  const matrices = {};
  for (const figure of figures) {
    const image = figure.querySelector("img");
    if (image && typeof DecompressionStream !== "undefined") {
      const raw = await levels(image);
      matrices[figure.dataset.matrix] = (row, column) => raw[row * (size + 1) + 1 + column];
    }
  }
  const number = (v) => (v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toPrecision(3));
  function words(name, row, column) {
    if (!matrices[name]) return "";
    const level = matrices[name](row, column), about = data.matrices[name];
    if (about.words) return about.words[level];
    return level ? `${about.label}: about ${number(about.low * about.step ** (level - 1))} ${about.unit}` : "";
  }
  let rows = null; // of a filtered view: [host, whether from it]
  function cell(figure, event) {
    const area = figure.querySelector("canvas:not([hidden])") || figure.querySelector("img");
    if (!area) return null; // a table: its cells say it themselves
    const box = area.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * size);
    const count = rows ? rows.length : size;
    const at = Math.floor(((event.clientY - box.top) / box.height) * count);
    if (column < 0 || column >= size || at < 0 || at >= count) return null;
    if (!rows) return [at, column];
    return rows[at][1] ? [rows[at][0], column] : [column, rows[at][0]];
  }
  function show(figure, event) {
    const found = cell(figure, event);
    if (!found) { tip.hidden = true; return; }
    const [row, column] = found;
    tip.textContent = [`${data.hosts[row]} → ${data.hosts[column]}`,
      ...(row === column ? ["the host itself"] : Object.keys(matrices).map((n) => words(n, row, column)))]
      .filter(Boolean).join("\n");
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }
  // Only the chosen hosts: a row for what goes out from each, and one for what comes to it, over all others.
  function draw(figure) {
    const image = figure.querySelector("img");
    if (!image || !matrices[figure.dataset.matrix]) return;
    let canvas = figure.querySelector("canvas");
    if (!canvas) { canvas = document.createElement("canvas"); image.after(canvas); }
    canvas.hidden = !rows; image.hidden = !!rows;
    canvas.parentElement.classList.toggle("chosen", !!rows);
    if (!rows) return;
    const high = Math.max(1, Math.min(16, Math.floor(320 / rows.length)));
    canvas.width = size; canvas.height = rows.length;
    canvas.style.height = `${high * rows.length}px`;
    const paper = canvas.getContext("2d"), dots = paper.createImageData(size, Math.max(1, rows.length));
    const palette = data.matrices[figure.dataset.matrix].palette, at = matrices[figure.dataset.matrix];
    rows.forEach(([host, out], y) => {
      for (let x = 0; x < size; x++) {
        const shade = palette[out ? at(host, x) : at(x, host)];
        dots.data.set([shade[0], shade[1], shade[2], 255], 4 * (y * size + x));
      }
    });
    paper.putImageData(dots, 0, 0);
  }
  const filter = document.getElementById("filter"), told = document.getElementById("told");
  function choose() {
    const wanted = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const chosen = new Set(data.hosts.map((n, i) => i).filter((i) => !wanted.length ||
      wanted.some((w) => data.hosts[i].toLowerCase().includes(w))));
    rows = wanted.length && chosen.size < size ? [...chosen].flatMap((i) => [[i, true], [i, false]]) : null;
    figures.forEach(draw);
    document.querySelectorAll("[data-host]").forEach((e) => {
      e.classList.toggle("away", !chosen.has(Number(e.dataset.host)));
    });
    document.dispatchEvent(new CustomEvent("commcheck-chosen", { detail: rows && [...chosen] }));
    told.textContent = rows ? `${chosen.size} of ${size} hosts: in each picture two rows per host, what goes out and what comes in` : "";
  }
  figures.forEach((figure) => {
    figure.addEventListener("mousemove", (event) => show(figure, event));
    figure.addEventListener("mouseleave", () => { tip.hidden = true; });
    figure.addEventListener("click", (event) => {
      const found = figure.querySelector("img") && cell(figure, event);
      if (found) { filter.value = [...new Set(found.map((i) => data.hosts[i]))].join(", "); choose(); }
    });
  });
  filter.addEventListener("input", choose);
  document.getElementById("finding").hidden = false;
  document.documentElement.dataset.script = "ran";
})().catch((error) => { document.documentElement.dataset.script = `failed: ${error}`; });

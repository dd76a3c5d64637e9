"use strict";
document.querySelectorAll(".lanes.many").forEach((box) => {
  const data = JSON.parse(box.querySelector("script").textContent);
  const picture = box.querySelector(".picture"), line = picture.querySelector("hr"), found = box.querySelector(".found");
  const colours = data.colours, count = data.names.length, lines = data.shown.length;
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "lanes-tip"; tip.hidden = true;
  box.querySelector(".told").hidden = false;
  const AROUND = 2, MANY = 24;
  let chosen = -1;

  const seconds = (ms) => (ms < 10000 ? (ms / 1000).toFixed(3) : (ms / 1000).toFixed(1)) + " s";
  function spans(lane) {
    return data.columns.flatMap((c) => {
      const begin = typeof c.begin === "number" ? c.begin : c.begin[lane], took = c.took[lane];
      if (begin < 0 || took < 0) return [];
      return [{ name: c.name, kind: c.kind, begin, took, late: c.late.includes(lane), open: c.unfinished.includes(lane), bad: c.bad[lane] || "" }];
    });
  }
  const words = (s) => [s.bad, s.open ? "not finished" : "", s.late ? box.dataset.late : ""].filter(Boolean).join(", ");
  const made = (tag, name, text) => {
    const e = document.createElement(tag);
    if (name) e.className = name;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  function track(lane, now) {
    const row = made("div", now ? "line now" : "line"), bar = made("span", "track");
    for (const s of spans(lane)) {
      const i = made("i", [s.late && "late", s.bad && "bad", s.open && "open"].filter(Boolean).join(" "));
      i.style.left = `${100 * s.begin / data.end}%`; i.style.width = `${100 * s.took / data.end}%`;
      i.style.backgroundColor = colours[s.kind];
      i.title = [`${s.name}: ${seconds(s.took)}`, words(s)].filter(Boolean).join(", ");
      bar.append(i);
    }
    row.append(made("span", "who", data.names[lane]), bar);
    return row;
  }
  function table(lane) {
    const rows = made("table"), head = rows.insertRow();
    for (const [text, name] of [["what"], ["from", "num"], ["took", "num"], [""]]) head.append(made("th", name, text));
    for (const s of spans(lane)) {
      const row = rows.insertRow(), what = row.insertCell(), dot = made("i");
      dot.style.backgroundColor = colours[s.kind];
      what.append(dot, s.name);
      for (const ms of [s.begin, s.took]) { const cell = row.insertCell(); cell.className = "num"; cell.textContent = seconds(ms); }
      row.insertCell().append(made("span", s.bad ? "unhealthy" : "", words(s)));
    }
    const whole = made("div", "spans");
    whole.tabIndex = 0; whole.append(rows);
    return whole;
  }
  function show(lanes, now) {
    found.replaceChildren(...lanes.map((lane) => track(lane, lane === now)), ...(now >= 0 ? [table(now)] : []));
    line.hidden = now < 0;
    if (now >= 0) line.style.top = `${100 * (data.shown.length === count ? now + 0.5 : place(now) + 0.5) / lines}%`;
  }
  const per = Math.ceil(data.count / lines);
  const place = (lane) => Math.min(lines - 1, count === data.count ? Math.floor(lane / per) : data.shown.indexOf(lane));
  function choose(lane) {
    chosen = Math.max(0, Math.min(count - 1, lane));
    const first = Math.max(0, Math.min(chosen - AROUND, count - 2 * AROUND - 1));
    show([...Array(Math.min(count, 2 * AROUND + 1)).keys()].map((n) => first + n), chosen);
  }
  function under(event) {
    const area = picture.getBoundingClientRect();
    const at = Math.floor(((event.clientY - area.top) / area.height) * lines);
    const ms = ((event.clientX - area.left) / area.width) * data.end;
    return at < 0 || at >= lines ? null : [data.shown[at], ms];
  }
  picture.addEventListener("mousemove", (event) => {
    const seen = under(event);
    if (!seen) { tip.hidden = true; return; }
    const [lane, ms] = seen, there = spans(lane).filter((s) => s.begin <= ms && ms < s.begin + s.took);
    tip.textContent = [data.names[lane], ...there.map((s) => [`${s.name}: ${seconds(s.took)}`, words(s)].filter(Boolean).join(", ")),
      ...(there.length ? [] : [`${seconds(Math.max(0, ms))}: nothing to do, or waiting`])].join("\n");
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(0, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  });
  picture.addEventListener("mouseleave", () => { tip.hidden = true; });
  picture.addEventListener("click", (event) => { const seen = under(event); if (seen) choose(seen[0]); });
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 32, PageUp: -32, Home: -count, End: count };
    if (event.key === "Escape") { chosen = -1; show([], -1); return; }
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(chosen < 0 ? (steps[event.key] > 0 && event.key !== "End" ? 0 : count - 1) : chosen + steps[event.key]);
  });
  const find = box.querySelector(".find");
  if (find) find.addEventListener("input", () => {
    const number = find.value.trim().replace(/^rank\s*/, "");
    const lane = data.names.findIndex((n) => n === `rank ${number}` || n.startsWith(`rank ${number},`) || n.startsWith(`rank ${number} `));
    if (lane >= 0) choose(lane); else { chosen = -1; show([], -1); }
  });
  // The hosts that the page's filter has chosen.
  if (data.what === "host") document.addEventListener("commcheck-chosen", (event) => {
    const lanes = event.detail;
    chosen = lanes && lanes.length === 1 ? lanes[0] : -1;
    show(lanes ? lanes.slice(0, MANY) : [], chosen);
  });
  document.documentElement.dataset.lanes = "ran";
});

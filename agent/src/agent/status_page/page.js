"use strict";
// Text from other nodes reaches the page only through textContent, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
let members = [], here = "", key = "name", descending = false;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const tagText = (member) => Object.entries(member.tags).map(([name, value]) => `${name}=${value}`).join(" ");
const rttText = (member) => member.rtt_ms === null ? "–" : `${member.rtt_ms.toFixed(member.rtt_ms < 10 ? 2 : 0)} ms`;

function showMembers() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (member) => {
    const text = `${member.name} ${member.addr} ${member.status} ${tagText(member)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const found = members.filter(matches);
  const order = (a, b) => a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1;
  found.sort((a, b) => (descending ? -1 : 1) * order(a[key], b[key]) || order(a.name, b.name));
  const rows = found.slice(0, 1000).map((member) => {
    const row = element("tr");
    row.append(
      element("td", "", member.name),
      element("td", "", member.addr),
      element("td", `status ${member.status}`, member.status),
      element("td", "number", rttText(member)),
      element("td", "tags", tagText(member)),
    );
    return row;
  });
  byId("members").replaceChildren(...rows);
  byId("shown").textContent = `${rows.length} of ${members.length}`;
  for (const button of document.querySelectorAll("th button")) {
    button.setAttribute("aria-pressed", String(button.dataset.key === key));
  }
}

// The two directions in which the coordinates spread most: power iteration on their covariance.
function plane(points) {
  const size = points[0].length, mean = Array(size).fill(0);
  for (const point of points) point.forEach((value, at) => { mean[at] += value / points.length; });
  const centred = points.map((point) => point.map((value, at) => value - mean[at]));
  const axes = [];
  for (let axis = 0; axis < 2; axis += 1) {
    let direction = Array.from({ length: size }, (_, at) => 1 / (1 + at + 3 * axis));
    for (let round = 0; round < 50; round += 1) {
      const next = Array(size).fill(0);
      for (const point of centred) {
        const dot = point.reduce((sum, value, at) => sum + value * direction[at], 0);
        point.forEach((value, at) => { next[at] += dot * value; });
      }
      for (const known of axes) {
        const dot = next.reduce((sum, value, at) => sum + value * known[at], 0);
        known.forEach((value, at) => { next[at] -= dot * value; });
      }
      const length = Math.hypot(...next);
      if (length < 1e-30) break;
      direction = next.map((value) => value / length);
    }
    axes.push(direction);
  }
  return centred.map((point) => axes.map((axis) => point.reduce((sum, value, at) => sum + value * axis[at], 0)));
}

function showMap() {
  const placed = members.filter((member) => member.place && member.status === "alive").slice(0, 2000);
  const map = byId("map");
  if (placed.length < 2) {
    map.replaceChildren(svg("text", { x: 20, y: 30 }, "Not enough coordinates yet."));
    return;
  }
  const points = plane(placed.map((member) => member.place));
  const spread = Math.max(1e-6, ...points.flat().map(Math.abs));
  const scale = 180 / spread, at = (value) => (200 + value * scale).toFixed(1);
  const marks = placed.map((member, index) => {
    const [x, y] = points[index].map(at);
    const mark = member.name === here
      ? svg("path", { d: `M${x - 7} ${y}h14M${x} ${y - 7}v14` })
      : svg("circle", { cx: x, cy: y, r: placed.length > 200 ? 3 : 5 });
    mark.append(svg("title", {}, `${member.name}, ${rttText(member)}`));
    return mark;
  });
  const labels = placed.length > 25 ? [] : placed.map((member, index) => {
    const [x, y] = points[index].map(at);
    return svg("text", { x: Number(x) + (x > 300 ? -8 : 8), y: Number(y) - 6, "text-anchor": x > 300 ? "end" : "start" }, member.name.slice(0, 24));
  });
  // A bar of a round number of milliseconds. A coordinate is in seconds of round-trip time.
  const bar = 10 ** Math.floor(Math.log10(spread * 1e3));
  const width = (bar / 1e3) * scale;
  const text = bar < 1 ? `${bar * 1e3} µs` : `${bar} ms`;
  map.replaceChildren(...marks, ...labels,
    svg("line", { x1: 12, y1: 388, x2: 12 + width, y2: 388 }), svg("text", { x: 12, y: 380 }, text));
}

function showCounts(state) {
  const of = (status) => members.filter((member) => member.status === status).length;
  const counts = [["alive", of("alive")], ["suspected", state.suspected], ["failed", of("failed")], ["left", of("left")],
    ["health score", state.figures.health_score ?? "–"]];
  byId("counts").replaceChildren(...counts.map(([label, value]) => {
    const item = element("li");
    item.append(element("b", "", String(value)), label);
    return item;
  }));
  const summary = byId("summary");
  summary.classList.toggle("problem", state.problem !== null);
  summary.textContent = state.problem ?? `Healthy. Gossip is ${state.encrypted ? "" : "not "}encrypted. Serf ${state.version}.`;
}

async function refresh() {
  try {
    const answer = await fetch("/ui/state");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const state = await answer.json();
    members = state.members;
    here = state.name;
    byId("name").textContent = here;
    document.title = `${here} – Serf`;
    showCounts(state);
    showMembers();
    showMap();
  } catch (error) {
    const summary = byId("summary");
    summary.classList.add("problem");
    summary.textContent = `The agent does not answer (${error.message}). The page shows what it knew last.`;
  }
  setTimeout(refresh, members.length > 1000 ? 10000 : 2000);
}

function showEvent(message) {
  const event = JSON.parse(message.data);
  const at = new Date(event.at), item = element("li");
  const time = element("time", "", at.toLocaleTimeString());
  time.dateTime = at.toISOString();
  item.append(time, element("span", "kind", event.kind), element("span", "", event.text));
  const list = byId("events");
  list.prepend(item);
  while (list.children.length > 256) list.lastChild.remove();
}

byId("filter").addEventListener("input", showMembers);
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    descending = key === button.dataset.key && !descending;
    key = button.dataset.key;
    showMembers();
  });
}
new EventSource("/ui/events").addEventListener("message", showEvent);
refresh();

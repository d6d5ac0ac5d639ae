"use strict";
// Sorts tables by their columns, and brings the page up to date without losing the order.
const sorted = new Map();
function sort(table, column, down) {
  const body = table.tBodies[0], value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  });
  body.append(...rows);
}
document.addEventListener("click", (event) => {
  const head = event.target.closest("th[data-sort]");
  if (!head) return;
  const table = head.closest("table"), before = sorted.get(table.id);
  const down = before?.column === head.cellIndex ? !before.down : true;
  sorted.set(table.id, { column: head.cellIndex, down });
  sort(table, head.cellIndex, down);
});
setInterval(async () => {
  const mark = document.getElementById("stale");
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = [...document.querySelectorAll("details[open]")].map((item) => item.dataset.key);
    const at = document.querySelector(".tall")?.scrollTop ?? 0;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    for (const item of document.querySelectorAll("details")) item.open = open.includes(item.dataset.key);
    const tall = document.querySelector(".tall");
    if (tall) tall.scrollTop = at;
    for (const [id, by] of sorted) { const table = document.getElementById(id); if (table) sort(table, by.column, by.down); }
    mark.hidden = true;
  } catch { mark.hidden = false; }
}, 5000);

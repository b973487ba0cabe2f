const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function chartConfig() {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { labelColor: colour("faint"), titleColor: colour("ink"), gridColor: colour("line"),
    domainColor: colour("line"), tickColor: colour("line"), titleFontWeight: "normal" };
  return { background: null, view: { stroke: null }, axis, legend: { labelColor: colour("ink"), orient: "bottom" },
    range: { category: ["accent", "second", "third", "fourth", "bad", "good"].map(colour) },
    mark: { color: colour("accent") }, bar: { color: colour("accent") } };
}

const charts = [...document.querySelectorAll(".chart")].map((figure) => ({
  figure, spec: JSON.parse(figure.querySelector("script").textContent), view: null,
}));

async function draw() {
  for (const chart of charts) {
    chart.view?.finalize();
    const options = { actions: false, renderer: "svg", config: chartConfig(),
      tooltip: { theme: isDark() ? "dark" : "light" } };
    chart.view = await vegaEmbed(chart.figure, chart.spec, options);
    // A finger hovers only while it is down: what it has tapped stays.
    const { view } = chart.view;
    view.addEventListener("click", (event, item) => {
      if (item?.tooltip) view.tooltip()(null, event, item, item.tooltip);
    });
  }
  root.dataset.drawn = isDark() ? "dark" : "light";
}

let drawing = draw();
const redraw = () => { drawing = drawing.then(draw); };
system.addEventListener("change", redraw);
document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  redraw();
});

function sortBy(header) {
  const row = header.parentElement, column = [...row.children].indexOf(header);
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of row.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = header.closest("table").tBodies[0];
  const key = (line) => {
    const cell = line.cells[column];
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x !== null && y !== null) return x - y;
    return a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
  };
  const rows = [...body.rows];
  // What was not measured stays at the end, whichever way the rest is sorted.
  const isEmpty = (line) => key(line) === null && ["–", ""].includes(line.cells[column].textContent);
  const known = rows.filter((line) => !isEmpty(line)).sort((a, b) => (down ? compare(b, a) : compare(a, b)));
  body.append(...known, ...rows.filter(isEmpty));
}

for (const header of document.querySelectorAll("th")) header.addEventListener("click", () => sortBy(header));

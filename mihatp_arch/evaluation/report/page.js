"use strict";

// A click on a table's header sorts by its column, blanks last; the next click turns the order round.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sort(table, heads, head, column)));
}

function sort(table, heads, head, column) {
  const numeric = head.classList.contains("number");
  const first = numeric ? "descending" : "ascending"; // the greatest number, the first name
  const second = numeric ? "ascending" : "descending";
  const order = head.getAttribute("aria-sort") === first ? second : first;
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", order);
  const value = ({ cells }) => (numeric ? (cells[column].dataset.value ?? "") : cells[column].textContent.trim());
  const compare = (a, b) => (numeric ? Math.sign(a - b) || 0 : a.localeCompare(b, "en", { numeric: true }));
  const rows = [...table.tBodies[0].rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return order === "ascending" ? compare(a, b) : compare(b, a);
  });
  table.tBodies[0].append(...rows);
}

// The crops: each has a form (left, right, zoom) and a divider; the shared form writes its values into all of them.
const forms = [...document.querySelectorAll(".crop")].map((crop) => {
  const [form, frame, stage, range] = ["form", ".frame", ".stage", "[type=range]"].map((what) => crop.querySelector(what));
  const figures = [...stage.querySelectorAll("figure")];
  const shown = [...crop.querySelectorAll(".shown p")];
  const fields = form.elements;

  const show = () => {
    const sides = [fields.left.value, fields.right.value].map((place) => figures[place]);
    for (const figure of figures) {
      figure.classList.toggle("left", figure === sides[0]);
      figure.classList.toggle("right", figure === sides[1]);
    }
    shown.forEach((line, side) => {
      line.replaceChildren(...sides[side].querySelector("figcaption").cloneNode(true).childNodes);
    });
    const zoomed = crop.style.getPropertyValue("--zoom") !== fields.zoom.value;
    crop.style.setProperty("--zoom", fields.zoom.value);
    divide();
    if (zoomed) centre();
  };
  const divide = () => {
    crop.style.setProperty("--at", range.value);
    const share = Math.round((100 * range.value) / range.max);
    const [left, right] = shown.map((line) => line.textContent.trim());
    range.setAttribute("aria-valuetext", `${share} % ${left}, ${100 - share} % ${right}`);
  };
  const centre = () => (frame.scrollLeft = range.value * fields.zoom.value - frame.clientWidth / 2); // if it is wider
  const follow = (event) => {
    range.value = (event.clientX - stage.getBoundingClientRect().left) / fields.zoom.value;
    divide();
  };

  stage.addEventListener("pointerdown", (event) => {
    const scrolls = event.pointerType === "touch" && !event.target.closest(".divider"); // a tap is a click, below
    if (event.button || scrolls) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => stage.hasPointerCapture(event.pointerId) && follow(event));
  stage.addEventListener("click", follow);
  range.addEventListener("input", () => {
    divide();
    centre();
  });
  listen(form, show);
  crop.style.setProperty("--width", range.max);
  return { form, show };
});

function listen(form, changed) {
  const { left, right, swap } = form.elements;
  form.addEventListener("change", changed);
  swap.addEventListener("click", () => {
    [left.value, right.value] = [right.value, left.value];
    changed();
  });
}

const shared = document.querySelector(".shared form");
if (shared) {
  const { link } = shared.elements;
  const showAll = () => {
    document.body.classList.toggle("unlinked", link ? !link.checked : false);
    for (const { form, show } of forms) {
      if (!document.body.classList.contains("unlinked")) {
        for (const name of ["left", "right", "zoom"]) form.elements[name].value = shared.elements[name].value;
      }
      show();
    }
  };
  listen(shared, showAll);
  showAll();
}

// Elements. Data become text, never markup: nothing here parses a text as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** An element: `el("button", { class: "button", onclick: … }, "Save")`. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

/** Sets a text only if it is another: screens and screen readers are not told what is not new. */
export function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function mark(node, name, value) {
  const wanted = String(value);
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

/**
 * The children of `parent` as `items` are, in their order: those that stay are kept, with their
 * focus. `make(item)` gives an element, `update(element, item)` brings it up to date.
 */
export function keep(parent, items, keyOf, make, update) {
  const known = (parent.keptByKey ??= new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let node = known.get(key);
    if (node === undefined) {
      node = make(item);
      known.set(key, node);
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else move(parent, node, place);
  }
  for (const [key, node] of known) {
    if (!wanted.has(key)) {
      node.remove();
      known.delete(key);
    }
  }
}

function move(parent, node, place) {
  // An element that is moved loses the focus.
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(node, place);
  focused?.focus({ preventScroll: true });
}

/** A table with a caption for screen readers. `columns`: {name, class?}. */
export function table(caption, columns) {
  const body = el("tbody");
  const head = columns.map((one) => el("th", { scope: "col", class: one.class }, one.name));
  const whole = el(
    "table",
    {},
    el("caption", { class: "hidden-text" }, caption),
    el("thead", {}, el("tr", {}, head)),
    body,
  );
  return { whole, body };
}

export const cell = (classes) => el("td", { class: classes });

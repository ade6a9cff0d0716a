// Elements and requests. Everything that came from elsewhere goes onto the page as text, never as markup.
export const at = (id) => document.getElementById(id);

const SVG = ["svg", "line", "circle", "polyline", "polygon", "text", "title", "g"];

export function made(tag, attributes = {}, ...children) {
  const element = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const counted = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

export function say(text) { at("status").textContent = text; }

export function headers(more = {}) {
  const key = sessionStorage.getItem("key");
  return { ...more, ...(key ? { authorization: `Bearer ${key}` } : {}) };
}

export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.body ? { "content-type": "application/json" } : {}) });
  const body = await response.json();
  if (response.status === 401) at("with-key").hidden = false;
  if (!response.ok) throw new Error(body.detail ?? body.error?.message ?? `HTTP ${response.status}`);
  return body;
}

export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

export const guarded = (work) => async (event) => {
  event?.preventDefault?.();
  try { await work(event); } catch (error) { say(error.message); }
};

export function download(name, type, text) {
  const link = made("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

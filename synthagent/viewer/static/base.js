// What every page needs: elements, the address, the server, and text that shows what it holds.
import { h, Fragment } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);
export { Fragment };

// ---- the address: #/page/part/part?filter=value

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(parts, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = new URLSearchParams(kept).toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}${words ? `?${words}` : ""}`;
}

export function go(parts, query) {
  location.hash = link(parts, query);
}

export function amend(query) {
  // A filter is a state of the same page: it does not become a step back.
  const now = parse(location.hash);
  history.replaceState(null, "", link(now.parts, { ...now.query, ...query }));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress() {
  const [address, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => set(parse(location.hash));
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return address;
}

// ---- the server

export async function ask(path, query = {}, signal = undefined) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return answered(await fetch(`${path}${words.size ? `?${words}` : ""}`, { signal }));
}

export async function tell(path, body) {
  return answered(await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));
}

async function answered(response) {
  const found = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Error(found.error ?? `the server answered ${response.status}`);
  return found;
}

/** What an address answers: {value, error, loading}. Asked again when `key` changes. */
export function useAnswer(path, query = {}, key = "") {
  const [state, set] = useState({ value: null, error: null, loading: true });
  const words = JSON.stringify(query);
  useEffect(() => {
    const stop = new AbortController();
    set((before) => ({ ...before, error: null, loading: true }));
    ask(path, query, stop.signal).then(
      (value) => set({ value, error: null, loading: false }),
      (error) => error.name === "AbortError" || set({ value: null, error: error.message, loading: false }),
    );
    return () => stop.abort();
  }, [path, words, key]);
  return state;
}

// ---- text

// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000d-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Text in which what would stay unseen, or turn the text around, is named by its number. */
export function visible(text) {
  return String(text ?? "").replaceAll("\r\n", "\n").replace(UNSEEN, (one) => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** A text from a trajectory: whole, as a text node, whatever it holds. */
export function Said({ text, mono = false }) {
  return html`<div class=${mono ? "said mono" : "said"} dir="auto">${visible(text)}</div>`;
}

export function json(value) {
  return JSON.stringify(value, null, 2);
}

export function setOut(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? json(value) : text;
  } catch {
    return text;
  }
}

export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(digits);
}

export function Problem({ text }) {
  return html`<p class="problem" role="alert">${visible(text)}</p>`;
}

export function Loading() {
  return html`<p class="dim" role="status">Loading…</p>`;
}

// ---- what is remembered on this machine

function kept(name, first) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? first;
  } catch {
    return first;
  }
}

function keep(name, value) {
  try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* not kept */ }
}

/** What was chosen, such as which lanes are shown. */
export function useKept(name, first) {
  const [value, set] = useState(() => kept(name, first));
  return [value, (next) => { set(next); keep(name, next); }];
}

const MOST_FOLDS = 500;

/** What can be folded away. Whether it is stays as somebody chose it, under `name`; `open`: until somebody does. */
export function Fold(props) {
  return html`<${Folding} key=${props.name} ...${props} />`;
}

function Folding({ name, title, open = false, children }) {
  const [shown, set] = useState(() => kept("folds", {})[name] ?? open);
  const toggled = (event) => {
    const now = event.currentTarget.open;
    if (now === shown) return;
    set(now);
    const others = Object.entries(kept("folds", {})).filter(([one]) => one !== name);
    keep("folds", Object.fromEntries([...others, [name, now]].slice(-MOST_FOLDS)));
  };
  return html`<details open=${shown} onToggle=${toggled}><summary>${title}</summary>${children}</details>`;
}

// ---- keys

/** Calls `keys[key]` unless somebody is typing. */
export function useKeys(keys) {
  // Before the page is painted: a key that follows at once must meet what was just drawn.
  useLayoutEffect(() => {
    const pressed = (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
      const does = keys[event.key];
      if (does) {
        event.preventDefault();
        does(event);
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  });
}

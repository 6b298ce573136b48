// Long lists: only the rows in sight are in the page, however many there are.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html, useKeys } from "./base.js";

const SPARE = 8;
const HEAD = 30;
// Pixels of the head, which stands over the rows.

/**
 * Rows of one height. `row(index)` draws one; `chosen` is kept in sight; j and k move it, Enter opens.
 * `onRange(first, last)` hears what is in sight.
 */
export function Rows({ count, height, row, chosen = -1, onChoose, onOpen, onRange, label, head }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, tall: 600 });
  const first = Math.max(0, Math.floor(view.top / height) - SPARE);
  const last = Math.min(count, Math.ceil((view.top + view.tall) / height) + SPARE);

  useLayoutEffect(() => {
    const measure = () => box.current !== null && setView({ top: box.current.scrollTop, tall: box.current.clientHeight });
    measure();
    const watching = new ResizeObserver(measure);
    watching.observe(box.current);
    return () => watching.disconnect();
  }, []);
  useEffect(() => onRange?.(first, last), [first, last, count]);
  useLayoutEffect(() => {
    const here = box.current;
    if (chosen < 0 || !here) return;
    const top = chosen * height;
    if (top < here.scrollTop) here.scrollTop = top;
    else if (top + height > here.scrollTop + here.clientHeight - HEAD) here.scrollTop = top + height - here.clientHeight + HEAD;
  }, [chosen, count]);
  useKeys({
    j: () => onChoose?.(Math.min(count - 1, chosen + 1)),
    k: () => onChoose?.(Math.max(0, chosen - 1)),
    ArrowDown: () => onChoose?.(Math.min(count - 1, chosen + 1)),
    ArrowUp: () => onChoose?.(Math.max(0, chosen - 1)),
    PageDown: () => onChoose?.(Math.min(count - 1, chosen + 20)),
    PageUp: () => onChoose?.(Math.max(0, chosen - 20)),
    Home: () => onChoose?.(0),
    End: () => onChoose?.(count - 1),
    Enter: (event) => chosen >= 0 && !/^(A|BUTTON|SUMMARY)$/.test(event.target.tagName) ? onOpen?.(chosen) : event.target.click?.(),
  });

  const shown = [];
  for (let index = first; index < last; index += 1) {
    const classes = `row${index === chosen ? " chosen" : ""}`;
    shown.push(html`
      <div key=${index} role="row" aria-rowindex=${index + 1} aria-selected=${index === chosen} class=${classes}
        style=${{ top: `${index * height}px`, height: `${height}px` }}
        onClick=${() => onChoose?.(index)} onDblClick=${() => onOpen?.(index)}>${row(index)}</div>`);
  }
  return html`
    <div class="rows" role="grid" aria-label=${label} aria-rowcount=${count} tabindex="0" ref=${box}
      onScroll=${(event) => setView({ top: event.currentTarget.scrollTop, tall: event.currentTarget.clientHeight })}>
      ${head ? html`<div class="row head" role="row">${head}</div>` : null}
      <div class="all" role="rowgroup" style=${{ height: `${count * height}px` }}>${shown}</div>
    </div>`;
}

const PAGE = 200;

/** The rows of an address that answers {total, rows}, fetched by the page as they come into sight. */
export function usePages(fetchPage, key) {
  const [state, setState] = useState({ key, total: null, rows: new Map(), extra: null, error: null });
  const asked = useRef({ key: null, pages: new Set() });
  if (asked.current.key !== key) asked.current = { key, pages: new Set() };

  const fetchOne = (page) => {
    const mine = asked.current;
    if (mine.pages.has(page)) return;
    mine.pages.add(page);
    fetchPage(page * PAGE, PAGE).then((found) => {
      if (asked.current !== mine) return;
      setState((before) => {
        const rows = before.key === key ? new Map(before.rows) : new Map();
        found.rows.forEach((row, place) => rows.set(found.offset + place, row));
        return { key, total: found.total, rows, extra: found, error: null };
      });
    }, (error) => asked.current === mine && setState((before) => ({ ...before, key, error: error.message })));
  };
  useEffect(() => fetchOne(0), [key]);
  const range = (first, last) => {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page += 1) fetchOne(page);
  };
  return { ...state, range };
}

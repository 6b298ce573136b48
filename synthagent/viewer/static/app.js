// The frame: which page stands at which address, news of runs that go on, and the keys that work everywhere.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { go, html, Problem, useAddress, useAnswer, useKeys } from "./base.js";
import { RunsPage, RunPage } from "./runs.js";
import { TasksPage, TaskPage } from "./tasks.js";
import { RejectedPage } from "./making.js";
import { EpisodePage } from "./episode.js";
import { ComparePage } from "./compare.js";
import { VersusPage } from "./figures.js";
import { TrainingPage } from "./training.js";
import { PlayPage } from "./play.js";

const KEYS = [
  ["j, k", "next, previous row or event"], ["Enter", "open it"], ["u", "one level up"], ["/", "search"],
  ["[, ]", "previous, next try at the task"], ["1 to 4", "show or hide a lane: agent, user, tools, malformed"],
  ["x", "mark an episode; with two marked, compare them"], ["g, then r or t", "runs, tasks"], ["d", "dark or light"],
  ["?", "this list"], ["Esc", "leave a field"],
];

function Page({ address, library, news }) {
  const [page, ...parts] = address.parts;
  const { query } = address;
  switch (page) {
    case undefined: case "runs": return html`<${RunsPage} library=${library} news=${news} />`;
    case "run": return html`<${RunPage} key=${parts[0]} name=${parts[0]} library=${library} query=${query} news=${news[parts[0]]} />`;
    case "episode": return html`<${EpisodePage} key=${parts.join("/")} run=${parts[0]} agent=${parts[1]} task=${parts[2]} sample=${parts[3]} query=${query} />`;
    case "try": return html`<${EpisodePage} key=${parts.join("/")} training=${parts[0]} step=${parts[1]} place=${parts[2]} query=${query} />`;
    case "tasks": return html`<${TasksPage} library=${library} name=${parts[0]} query=${query} />`;
    case "task": return html`<${TaskPage} key=${parts.join("/")} set=${parts[0]} id=${parts[1]} playing=${library?.playing} />`;
    case "rejected": return html`<${RejectedPage} key=${parts.join("/")} set=${parts[0]} place=${parts[1]} />`;
    case "compare": return html`<${ComparePage} query=${query} />`;
    case "versus": return html`<${VersusPage} key=${`${query.left}|${query.right}`} query=${query} />`;
    case "training": return html`<${TrainingPage} key=${parts[0]} name=${parts[0]} query=${query} />`;
    case "play": return html`<${PlayPage} key=${parts.join("/")} set=${parts[0]} id=${parts[1]} keeping=${library?.keeping} />`;
    default: return html`<${Problem} text=${`There is no page '${page}'.`} />`;
  }
}

function useNews() {
  // Summaries of runs that have grown, by name; the server says so by itself.
  const [news, set] = useState({});
  useEffect(() => {
    const source = new EventSource("/api/live");
    source.onmessage = (event) => {
      const found = JSON.parse(event.data);
      set((before) => ({ ...before, [found.name]: found }));
    };
    return () => source.close();
  }, []);
  return news;
}

function Help({ open, onClose }) {
  const box = useRef(null);
  useEffect(() => {
    if (open && !box.current.open) box.current.showModal();
    if (!open && box.current.open) box.current.close();
  }, [open]);
  return html`
    <dialog ref=${box} aria-labelledby="keys" onClose=${onClose}>
      <h2 id="keys">Keys</h2>
      <table><tbody>${KEYS.map(([key, does]) => html`<tr><th scope="row"><kbd>${key}</kbd></th><td>${does}</td></tr>`)}</tbody></table>
      <p><button type="button" onClick=${onClose}>Close</button></p>
    </dialog>`;
}

function App() {
  const address = useAddress();
  const news = useNews();
  const { value: library, error } = useAnswer("/api/library");
  const [help, setHelp] = useState(false);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  const jump = useRef(0);
  const dark = theme === "dark" || (!theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const turn = () => {
    const next = dark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* not kept */ }
    setTheme(next);
  };
  const sets = [...(library?.tasks ?? []), ...(library?.runs ?? [])];
  const jumping = () => Date.now() - jump.current < 1500;
  useKeys({
    "?": () => setHelp(!help), d: turn, g: () => { jump.current = Date.now(); },
    r: () => jumping() && go(["runs"]), t: () => jumping() && sets.length && go(["tasks", sets[0].name]),
    u: () => document.querySelector("a.up")?.click(), "/": () => document.querySelector("input[type=search]")?.focus(),
    Escape: () => document.activeElement?.blur(),
  });
  useEffect(() => {
    document.title = [...address.parts.slice(0, 2), "SynthAgent"].join(" · ");
  }, [address]);
  const here = address.parts[0] ?? "runs";
  return html`
    <header>
      <span class="name">SynthAgent</span>
      <nav aria-label="Pages">
        <a href="#/runs" aria-current=${here === "runs" ? "page" : null}>Runs</a>
        ${sets.length ? html`<a href=${`#/tasks/${encodeURIComponent(sets[0].name)}`} aria-current=${here === "tasks" ? "page" : null}>Tasks</a>` : null}
        ${(library?.training ?? []).map((one) => html`<a href=${`#/training/${encodeURIComponent(one.name)}`} aria-current=${here === "training" && address.parts[1] === one.name ? "page" : null}>Training ${one.name}</a>`)}
      </nav>
      <button type="button" onClick=${turn}>${dark ? "Light" : "Dark"}</button>
      <button type="button" onClick=${() => setHelp(true)} aria-label="Keys">?</button>
    </header>
    <main tabindex="-1">
      ${error ? html`<${Problem} text=${error} />` : null}
      <${Page} address=${address} library=${library} news=${news} />
    </main>
    <${Help} open=${help} onClose=${() => setHelp(false)} />`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);

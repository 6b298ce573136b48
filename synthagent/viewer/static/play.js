// Be the agent: say something, call tools by a form made from their schemas, and see what it is worth.
import { useEffect, useRef, useState } from "preact/hooks";
import { Fold, html, link, Loading, Problem, Said, setOut, tell, visible } from "./base.js";
import { EpisodeView } from "./episode.js";
import { useAddress } from "./base.js";

export function PlayPage({ set, id, keeping }) {
  const [state, setState] = useState({ phase: "begin" });
  const { query } = useAddress();
  const busy = useRef(false);
  const attempt = async (work) => {
    if (busy.current) return;
    busy.current = true;
    try { await work(); } catch (error) { setState((before) => ({ ...before, error: error.message })); } finally { busy.current = false; }
  };
  const begin = () => attempt(async () => {
    const opened = await tell("/api/play", { set, task: id });
    setState({ phase: "on", ...opened });
  });
  useEffect(() => { begin(); }, []);
  const turn = (message) => attempt(async () => {
    const step = await tell(`/api/play/${state.id}/turn`, message);
    const messages = [...state.messages, ...step.messages];
    setState({ ...state, error: null, messages, done: step.done });
    if (step.done) await end({ ...state, messages });
  });
  const end = async (from) => {
    const found = await tell(`/api/play/${from.id}/close`, {});
    setState({ ...from, phase: "over", found, error: null });
  };
  const up = link(["task", set, id]);
  if (state.phase === "over") return html`<p class="good" role="status">The episode is over. <button type="button" onClick=${begin}>Play again</button> ${keeping ? html`<${Keep} id=${state.id} folder=${keeping} />` : null}</p><${EpisodeView} found=${state.found} query=${query} up=${up} />`;
  return html`
    <div class="bar"><a class="up" href=${up}>The task</a><h1>Playing task ${visible(id)}</h1>
      ${state.phase === "on" ? html`<button type="button" onClick=${() => attempt(() => end(state))}>End it and see the reward</button>` : null}</div>
    ${state.error ? html`<${Problem} text=${state.error} />` : null}
    ${state.phase === "begin" ? html`<${Loading} />` : html`
    <div class="split">
      <div class="pane talk" tabindex="0" role="log" aria-label="What was said and done">${state.messages.map((message, place) => html`<${Message} key=${place} message=${message} />`)}</div>
      <div class="pane" tabindex="0" role="region" aria-label="Your turn"><${Turn} tools=${state.tools} onTurn=${turn} /></div>
    </div>`}`;
}

/** Keeps an episode that is over in a run folder, and says where it is to be seen. */
function Keep({ id, folder }) {
  const [state, set] = useState({});
  const keep = () => tell(`/api/play/${id}/keep`, {}).then((kept) => set({ kept }), (error) => set({ error: error.message }));
  if (state.kept) return html`<span role="status">kept: <a href=${link(["episode", state.kept.run, state.kept.agent, state.kept.task_id, state.kept.sample])}>try ${state.kept.sample} in ${visible(state.kept.run)}</a></span>`;
  return html`<button type="button" onClick=${keep}>Keep it in ${visible(folder)}</button>${state.error ? html`<${Problem} text=${state.error} />` : null}`;
}

function Message({ message }) {
  const calls = message.tool_calls ?? [];
  const long = message.role === "system";
  const body = html`${message.content ? html`<${Said} mono=${message.role === "tool"} text=${message.role === "tool" ? setOut(message.content) : message.content} />` : null}
    ${calls.map((call) => html`<${Said} mono text=${`${call.function.name} ${setOut(call.function.arguments)}`} />`)}`;
  return html`<article class=${message.role}><strong class="dim">${message.role === "assistant" ? "you" : message.role}</strong>
    ${long ? html`<${Fold} name="play/system" title="what the agent is told">${body}<//>` : body}</article>`;
}

function Turn({ tools, onTurn }) {
  const [name, setName] = useState(tools[0]?.function.name ?? "");
  const [text, setText] = useState("");
  const tool = tools.find((one) => one.function.name === name);
  return html`
    <h2>Call a tool</h2>
    <label>tool <select aria-label="tool" value=${name} onChange=${(event) => setName(event.currentTarget.value)}>
      ${tools.map((one) => html`<option value=${one.function.name} selected=${one.function.name === name}>${visible(one.function.name)}</option>`)}</select></label>
    ${tool ? html`<${ToolForm} key=${name} tool=${tool.function} onCall=${(values) => onTurn({ role: "assistant", content: "", tool_calls: [{ type: "function", function: { name, arguments: JSON.stringify(values) } }] })} />` : null}
    <h2>Or say your last word</h2>
    <p class="dim">A message without a tool call ends the episode. To talk with the user, call ask_user.</p>
    <label for="last">last word</label><textarea id="last" value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea>
    <button type="button" disabled=${!text.trim()} onClick=${() => onTurn({ role: "assistant", content: text })}>Say it and end</button>`;
}

function ToolForm({ tool, onCall }) {
  const fields = Object.entries(tool.parameters?.properties ?? {});
  const required = tool.parameters?.required ?? [];
  const [values, setValues] = useState({});
  const [problem, setProblem] = useState(null);
  const call = (event) => {
    event.preventDefault();
    const found = {};
    for (const [name, schema] of fields) {
      const text = values[name] ?? "";
      if (text === "") continue;
      try { found[name] = typed(text, schema); } catch { setProblem(`${name}: that is no ${schema.type}`); return; }
    }
    setProblem(null);
    onCall(found);
    setValues({});
  };
  return html`<form onSubmit=${call}>
    <${Said} text=${tool.description ?? ""} />
    <div class="form">${fields.map(([name, schema]) => html`
      <label for=${`field-${name}`}>${visible(name)}${required.includes(name) ? " *" : ""}</label>
      <span><${Field} id=${`field-${name}`} schema=${schema} value=${values[name] ?? ""} onChange=${(value) => setValues({ ...values, [name]: value })} />
        ${schema.description ? html`<span class="dim"> ${visible(schema.description)}</span>` : null}</span>`)}</div>
    ${problem ? html`<${Problem} text=${problem} />` : null}
    <button type="submit">Call ${visible(tool.name)}</button></form>`;
}

function Field({ id, schema, value, onChange }) {
  const options = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  if (options) return html`<select id=${id} value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
    <option value="">(leave out)</option>${options.map((one) => html`<option value=${JSON.stringify(one)} selected=${JSON.stringify(one) === value}>${visible(String(one))}</option>`)}</select>`;
  if (schema.type === "object" || schema.type === "array") return html`<textarea id=${id} placeholder="JSON" value=${value} onInput=${(event) => onChange(event.currentTarget.value)}></textarea>`;
  return html`<input id=${id} type="text" inputmode=${schema.type === "integer" || schema.type === "number" ? "decimal" : "text"} placeholder=${schema.format ?? schema.type ?? ""} value=${value} onInput=${(event) => onChange(event.currentTarget.value)} />`;
}

function typed(text, schema) {
  if (schema.enum || ["boolean", "object", "array", "integer", "number"].includes(schema.type)) return JSON.parse(text);
  return text;
}

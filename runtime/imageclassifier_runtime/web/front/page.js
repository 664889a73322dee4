"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const STAGES = ["receive", "queue", "decode", "preprocess", "inference", "postprocess"];
  const state = { key: "", file: null, request: null, preview: "", known: false };

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const show = (id, visible) => { $(id).hidden = !visible; };
  const milliseconds = (value) => `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;
  const percent = (share) => `${(100 * share).toFixed(share < 0.9995 ? 1 : 0)} %`;
  const headers = () => (state.key ? { Authorization: `Bearer ${state.key}` } : {});

  function rows(list, pairs) {
    list.replaceChildren(...pairs.map(([term, text, className, dataClass]) => {
      const row = make("div", className);
      row.append(make("dt", "", term), make("dd", dataClass, text));
      return row;
    }));
  }

  async function learn() {
    if (state.known) return;
    try {
      const answer = await fetch("api/v1/model/info", { headers: headers() });
      if (!answer.ok) return;
      const info = await answer.json();
      state.known = true;
      $("model-name").textContent = info.name;
      document.title = `${info.name} · Image classifier`;
      rows($("facts"), [
        ["Model", info.name],
        ["Precision", info.precision],
        ["Classes", String(info.classes)],
        ["Digest", info.sha256, "", "digest"],
      ]);
      const mebibytes = info.limits.max_image_bytes / 1048576;
      const most = mebibytes >= 1 ? `${+mebibytes.toFixed(1)} MiB` : `${info.limits.max_image_bytes} bytes`;
      $("takes").textContent += `, up to ${most}`;
    } catch { /* the page works without; a question that fails says why */ }
  }

  function preview(file) {
    if (state.preview) URL.revokeObjectURL(state.preview);
    state.preview = URL.createObjectURL(file);
    const image = $("preview");
    image.src = state.preview;
    image.alt = file.name ? `Your photograph, ${file.name}` : "Your photograph";
    image.hidden = false;
    show("another", true);
    $("file").setAttribute("aria-label", "Choose another photograph");
  }

  function phase(name) {
    $("main").dataset.state = name;
    document.body.classList.toggle("busy", name === "busy");
    $("outcome").setAttribute("aria-busy", String(name === "busy"));
  }

  async function ask(file) {
    if (state.request) state.request.abort();
    const request = state.request = new AbortController();
    state.file = file;
    phase("busy");
    show("problem", false);
    show("waiting", $("result").hidden);
    $("status").textContent = "";
    const began = performance.now();
    try {
      const answer = await fetch("api/v1/classify?top_k=5", {
        method: "POST",
        body: file,
        headers: { "Content-Type": "application/octet-stream", Accept: "application/json", ...headers() },
        signal: request.signal,
      });
      const text = await answer.text();
      if (request.signal.aborted) return;
      const content = parsed(text);
      if (answer.ok && content && Array.isArray(content.predictions)) {
        result(content, performance.now() - began);
        learn();
      } else {
        refusal(answer, content || {});
      }
    } catch (error) {
      if (request.signal.aborted) return;
      problem({
        title: "The server cannot be reached",
        detail: navigator.onLine === false
          ? "This device is offline."
          : "It is not running, or the connection broke before it answered. Or the photograph cannot be read any more: choose it again.",
        again: true,
      });
    }
  }

  function parsed(text) {
    try { return JSON.parse(text); } catch { return null; }
  }

  function result(content, elapsed) {
    show("waiting", false);
    show("result", true);
    $("classes").replaceChildren(...content.predictions.map((prediction) => {
      const item = make("li");
      const bar = make("span", "bar");
      const fill = make("i");
      bar.setAttribute("aria-hidden", "true");
      bar.append(fill);
      item.append(make("span", "name", prediction.class_name), make("span", "share", percent(prediction.probability)), bar);
      fill.dataset.share = prediction.probability;
      return item;
    }));
    $("classes").getBoundingClientRect();
    for (const fill of $("classes").querySelectorAll("i")) fill.style.width = `${100 * fill.dataset.share}%`;
    timings(content.timings_ms, elapsed);
    phase("done");
    const best = content.predictions[0];
    $("status").textContent = `${best.class_name}, ${percent(best.probability)}. Answered in ${Math.round(elapsed)} milliseconds.`;
  }

  function timings(told, elapsed) {
    const names = Object.keys(told).filter((name) => name !== "total");
    const at = (name) => (STAGES.includes(name) ? STAGES.indexOf(name) : STAGES.length);
    names.sort((one, other) => at(one) - at(other));
    const colour = (name) => `c${at(name)}`;
    $("strip").replaceChildren(...names.map((name) => {
      const part = make("i", colour(name));
      part.style.flexGrow = String(told[name]);
      return part;
    }));
    const pairs = names.map((name) => [name[0].toUpperCase() + name.slice(1), milliseconds(told[name]), colour(name)]);
    if (told.total !== undefined) pairs.push(["Server total", milliseconds(told.total)]);
    pairs.push(["Round trip", milliseconds(elapsed)]);
    rows($("timings"), pairs);
  }

  function refusal(answer, content) {
    const wait = answer.headers.get("Retry-After");
    const id = answer.headers.get("X-Request-ID");
    const facts = [`Status ${answer.status}`];
    if (wait && /^\d+$/.test(wait)) facts.push(`try again in ${wait} s`);
    if (id) facts.push(`request ${id}`);
    problem({
      title: content.title || answer.statusText || "The server refused",
      detail: content.detail || "It gave no reason.",
      facts: facts.join(" · "),
      key: answer.status === 401,
      again: answer.status === 408 || answer.status === 429 || answer.status >= 500,
    });
  }

  function problem({ title, detail, facts = "", key = false, again = false }) {
    show("waiting", false);
    show("result", false);
    $("problem-title").textContent = title;
    $("problem-detail").textContent = detail;
    $("problem-facts").textContent = facts;
    show("key-form", key);
    show("again", again);
    show("problem", true);
    phase("failed");
    if (key) $("key").focus();
  }

  function take(files) {
    const file = Array.from(files || []).find((one) => one.type.startsWith("image/")) || (files && files[0]);
    if (!file) return;
    preview(file);
    ask(file);
  }

  for (const id of ["file", "shot"]) {
    $(id).addEventListener("change", (event) => {
      take(event.target.files);
      event.target.value = "";
    });
  }
  // What the browser cannot draw, the server may still know; and it says so where it does not.
  $("preview").addEventListener("error", () => { show("preview", false); show("another", false); });
  $("again").addEventListener("click", () => ask(state.file));
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    learn();
    ask(state.file);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files);
  });

  let depth = 0;
  const over = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    document.body.classList.toggle("over", depth > 0);
  };
  const carriesFiles = (event) => Array.from(event.dataTransfer.types).includes("Files");
  document.addEventListener("dragenter", (event) => { if (carriesFiles(event)) over(1); });
  document.addEventListener("dragleave", (event) => { if (carriesFiles(event)) over(-1); });
  document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(0);
    take(event.dataTransfer.files);
  });

  learn();
})();

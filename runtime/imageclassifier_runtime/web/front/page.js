"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const STAGES = ["receive", "queue", "decode", "preprocess", "inference", "postprocess"];
  const state = { key: "", file: null, request: null, previewUrl: "", infoLoaded: false };

  const createElement = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const show = (id, visible) => { $(id).hidden = !visible; };
  const milliseconds = (value) => `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;
  const percent = (share) => `${(100 * share).toFixed(share < 0.9995 ? 1 : 0)} %`;
  const headers = () => (state.key ? { Authorization: `Bearer ${state.key}` } : {});

  function fillList(list, pairs) {
    list.replaceChildren(...pairs.map(([term, text, className, dataClass]) => {
      const row = createElement("div", className);
      row.append(createElement("dt", "", term), createElement("dd", dataClass, text));
      return row;
    }));
  }

  async function loadModelInfo() {
    if (state.infoLoaded) return;
    try {
      const response = await fetch("api/v1/model/info", { headers: headers() });
      if (!response.ok) return;
      const info = await response.json();
      state.infoLoaded = true;
      $("model-name").textContent = info.name;
      document.title = `${info.name} · Image classifier`;
      fillList($("facts"), [
        ["Model", info.name],
        ["Precision", info.precision],
        ["Classes", String(info.classes)],
        ["Digest", info.sha256, "", "digest"],
      ]);
      const mebibytes = info.limits.max_image_bytes / 1048576;
      const limit = mebibytes >= 1 ? `${+mebibytes.toFixed(1)} MiB` : `${info.limits.max_image_bytes} bytes`;
      $("formats").textContent += `, up to ${limit}`;
    } catch { /* the page works without it, and a failed classification shows the error */ }
  }

  function showPreview(file) {
    if (state.previewUrl) URL.revokeObjectURL(state.previewUrl);
    state.previewUrl = URL.createObjectURL(file);
    const image = $("preview");
    image.src = state.previewUrl;
    image.alt = file.name ? `Your photograph, ${file.name}` : "Your photograph";
    image.hidden = false;
    show("another", true);
    $("file").setAttribute("aria-label", "Choose another photograph");
  }

  function setPageState(name) {
    $("main").dataset.state = name;
    document.body.classList.toggle("busy", name === "busy");
    $("outcome").setAttribute("aria-busy", String(name === "busy"));
  }

  async function classify(file) {
    if (state.request) state.request.abort();
    const request = state.request = new AbortController();
    state.file = file;
    setPageState("busy");
    show("problem", false);
    show("waiting", $("result").hidden);
    $("status").textContent = "";
    const started = performance.now();
    try {
      const response = await fetch("api/v1/classify?top_k=5", {
        method: "POST",
        body: file,
        headers: { "Content-Type": "application/octet-stream", Accept: "application/json", ...headers() },
        signal: request.signal,
      });
      const text = await response.text();
      if (request.signal.aborted) return;
      const content = parseJson(text);
      if (response.ok && content && Array.isArray(content.predictions)) {
        showResult(content, performance.now() - started);
        loadModelInfo();
      } else {
        showErrorResponse(response, content || {});
      }
    } catch (error) {
      if (request.signal.aborted) return;
      showProblem({
        title: "The server cannot be reached",
        detail: navigator.onLine === false
          ? "This device is offline."
          : "It is not running, or the connection was closed before it responded. If the photograph was moved or changed, choose it again.",
        canRetry: true,
      });
    }
  }

  function parseJson(text) {
    try { return JSON.parse(text); } catch { return null; }
  }

  function showResult(content, elapsed) {
    show("waiting", false);
    show("result", true);
    $("classes").replaceChildren(...content.predictions.map((prediction) => {
      const item = createElement("li");
      const bar = createElement("span", "bar");
      const fill = createElement("i");
      bar.setAttribute("aria-hidden", "true");
      bar.append(fill);
      const name = createElement("span", "name", prediction.class_name);
      item.append(name, createElement("span", "share", percent(prediction.probability)), bar);
      fill.dataset.share = prediction.probability;
      return item;
    }));
    $("classes").getBoundingClientRect();
    for (const fill of $("classes").querySelectorAll("i")) fill.style.width = `${100 * fill.dataset.share}%`;
    showTimings(content.timings_ms, elapsed);
    setPageState("done");
    const best = content.predictions[0];
    $("status").textContent = `${best.class_name}, ${percent(best.probability)}. Classified in ${Math.round(elapsed)} milliseconds.`;
  }

  function showTimings(timings, elapsed) {
    const names = Object.keys(timings).filter((name) => name !== "total");
    const position = (name) => (STAGES.includes(name) ? STAGES.indexOf(name) : STAGES.length);
    names.sort((one, other) => position(one) - position(other));
    const colour = (name) => `c${position(name)}`;
    $("strip").replaceChildren(...names.map((name) => {
      const part = createElement("i", colour(name));
      part.style.flexGrow = String(timings[name]);
      return part;
    }));
    const pairs = names.map((name) => [name[0].toUpperCase() + name.slice(1), milliseconds(timings[name]), colour(name)]);
    if (timings.total !== undefined) pairs.push(["Server total", milliseconds(timings.total)]);
    pairs.push(["Round trip", milliseconds(elapsed)]);
    fillList($("timings"), pairs);
  }

  function showErrorResponse(response, content) {
    const retryAfter = response.headers.get("Retry-After");
    const id = response.headers.get("X-Request-ID");
    const facts = [`Status ${response.status}`];
    if (retryAfter && /^\d+$/.test(retryAfter)) facts.push(`try again in ${retryAfter} s`);
    if (id) facts.push(`request ${id}`);
    showProblem({
      title: content.title || response.statusText || "The server rejected the request",
      detail: content.detail || "The server stated no reason.",
      facts: facts.join(" · "),
      needsKey: response.status === 401,
      canRetry: response.status === 408 || response.status === 429 || response.status >= 500,
    });
  }

  function showProblem({ title, detail, facts = "", needsKey = false, canRetry = false }) {
    show("waiting", false);
    show("result", false);
    $("problem-title").textContent = title;
    $("problem-detail").textContent = detail;
    $("problem-facts").textContent = facts;
    show("key-form", needsKey);
    show("again", canRetry);
    show("problem", true);
    setPageState("failed");
    if (needsKey) $("key").focus();
  }

  function choose(files) {
    const file = Array.from(files || []).find((one) => one.type.startsWith("image/")) || (files && files[0]);
    if (!file) return;
    showPreview(file);
    classify(file);
  }

  for (const id of ["file", "shot"]) {
    $(id).addEventListener("change", (event) => {
      choose(event.target.files);
      event.target.value = "";
    });
  }
  // The server may support formats that the browser cannot display; if not, its response is shown.
  $("preview").addEventListener("error", () => { show("preview", false); show("another", false); });
  $("again").addEventListener("click", () => classify(state.file));
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    loadModelInfo();
    classify(state.file);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) choose(event.clipboardData.files);
  });

  // The number of nested elements that the dragged files are over; 0 outside the page.
  let dragDepth = 0;
  const changeDragDepth = (change) => {
    dragDepth = change ? Math.max(0, dragDepth + change) : 0;
    document.body.classList.toggle("over", dragDepth > 0);
  };
  const carriesFiles = (event) => Array.from(event.dataTransfer.types).includes("Files");
  document.addEventListener("dragenter", (event) => { if (carriesFiles(event)) changeDragDepth(1); });
  document.addEventListener("dragleave", (event) => { if (carriesFiles(event)) changeDragDepth(-1); });
  document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    changeDragDepth(0);
    choose(event.dataTransfer.files);
  });

  loadModelInfo();
})();

// Reads the playground's answers as they come. Without this script the same form is sent as any
// other and its page comes back with the answers.
(function () {
  var form = document.getElementById("ask");
  if (!form || !window.AbortController || !window.TextDecoder) return;
  var answers = document.getElementById("answers");
  var status = document.getElementById("ask-status");
  var stop = document.getElementById("ask-stop");
  var button = form.querySelector("button[type=submit]");
  var prompt = form.elements.prompt;
  var asking = null;

  function column(name) {
    return answers.querySelector('[data-column="' + name + '"]');
  }

  function show(html) {
    answers.innerHTML = html;
    htmx.process(answers);
  }

  var told = {
    begin: function (said) { show(said.html); },
    piece: function (said) {
      var waiting = column(said.column).querySelector(".answer-waiting");
      if (waiting) waiting.remove();
      column(said.column).querySelector(".answer-text").append(said.text);
    },
    answer: function (said) {
      column(said.column).outerHTML = said.html;
      htmx.process(column(said.column));
    },
    end: function (said) {
      form.elements.turns.value = said.turns;
      document.getElementById("go-on").hidden = false;
      status.textContent = "All have answered.";
    },
  };

  function tell(event) {
    var kind = /^event: (.*)$/m.exec(event);
    var data = /^data: (.*)$/m.exec(event);
    if (kind && data) told[kind[1]](JSON.parse(data[1]));
  }

  async function listen(response) {
    var reader = response.body.getReader();
    var decoder = new TextDecoder();
    var text = "";
    for (;;) {
      var chunk = await reader.read();
      if (chunk.done) return;
      text += decoder.decode(chunk.value, { stream: true });
      var events = text.split("\n\n");
      text = events.pop();
      events.forEach(tell);
    }
  }

  async function ask() {
    asking = new AbortController();
    busy(true);
    status.textContent = "They are answering…";
    try {
      var response = await fetch(form.dataset.stream, {
        method: "POST", body: new FormData(form), signal: asking.signal, redirect: "error",
      });
      if (/^text\/event-stream/.test(response.headers.get("Content-Type"))) {
        await listen(response);
      } else if (response.status === 422 || response.status === 429) {
        show(await response.text());
        status.textContent = "";
      } else {
        status.textContent = "This could not be asked. Load the page again, then try once more.";
      }
    } catch (error) {
      status.textContent = error.name === "AbortError"
        ? "Stopped." : "The connection was lost. Ask again.";
    }
    answers.querySelectorAll(".answer-waiting").forEach(function (line) { line.remove(); });
    busy(false);
  }

  function busy(is) {
    var hadFocus = document.activeElement === button || document.activeElement === stop;
    answers.setAttribute("aria-busy", String(is));
    button.disabled = is;
    stop.hidden = !is;
    if (hadFocus) (is ? stop : button).focus();
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    if (!button.disabled) ask();
  });
  stop.addEventListener("click", function () { asking.abort(); });
  prompt.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
})();

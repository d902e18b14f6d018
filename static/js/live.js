// #live is told of changes by a stream of events. While there is none (too many are open, or a
// proxy swallows them), it is made to ask every two seconds instead.
(function () {
  var isTold = false;

  document.addEventListener("htmx:sseOpen", function () { isTold = true; });
  ["htmx:sseError", "htmx:sseClose"].forEach(function (name) {
    document.addEventListener(name, function () { isTold = false; });
  });

  setInterval(function () {
    var live = document.getElementById("live");
    if (live && !isTold && !document.hidden) htmx.trigger(live, "poll");
  }, 2000);
})();

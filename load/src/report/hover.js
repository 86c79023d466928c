"use strict";
(function () {
  var hint = document.getElementById("hint");
  document.querySelectorAll(".band").forEach(function (band) {
    var title = band.querySelector("title");
    var text = title.textContent;
    title.remove();
    function show(event) {
      hint.textContent = text;
      hint.hidden = false;
      var right = document.documentElement.clientWidth - hint.offsetWidth - 8;
      hint.style.left = Math.max(8, Math.min(event.clientX + 14, right)) + "px";
      hint.style.top = Math.max(8, event.clientY - hint.offsetHeight - 14) + "px";
    }
    band.addEventListener("pointerenter", show);
    band.addEventListener("pointermove", show);
    band.addEventListener("pointerleave", function () { hint.hidden = true; });
  });
})();

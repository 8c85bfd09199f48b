"use strict";
const page = document.documentElement;
page.classList.add("js");
function sliders() {
  for (const input of document.querySelectorAll(".scrub input")) {
    const reel = input.closest(".film").querySelector(".reel");
    const steps = input.dataset.steps.split(",").map(Number);
    const last = steps.length - 1;
    const show = (k) => { input.nextElementSibling.value = steps[k].toLocaleString("en"); };
    let shown = last;
    const clock = setInterval(() => {
      if (!reel.isConnected) { clearInterval(clock); return; }
      if (reel.classList.contains("held") || matchMedia("(prefers-reduced-motion:reduce)").matches) return;
      const share = parseFloat(getComputedStyle(reel).backgroundPositionY) / 100;
      const k = Math.round(share * last);
      if (k !== shown) { shown = k; input.value = k; show(k); }
    }, 60);
    input.addEventListener("input", () => {
      const k = Number(input.value);
      reel.classList.add("held");
      reel.style.backgroundPosition = `0 ${last ? (100 * k) / last : 0}%`;
      show(k);
    });
  }
}
sliders();

// Of a webhook's last 24 hours, a bar for each.

import { mark, svg } from "./dom.js";

const BAR = { width: 3, step: 4, height: 20 };
// A failure in an hour of many checks is to be seen.
const LEAST_RED = 0.2;

/** Three paths for all bars: 500 webhooks are 1,500 shapes, not 12,000. */
export function barsOf() {
  const [good, bad, gap] = ["good", "bad", "gap"].map((kind) =>
    svg("path", { class: `bar-${kind}` }),
  );
  const whole = svg(
    "svg",
    {
      class: "bars",
      viewBox: `0 0 ${24 * BAR.step - 1} ${BAR.height}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    gap,
    good,
    bad,
  );
  const box = (place, top, bottom) =>
    `M${place * BAR.step} ${top.toFixed(1)}h${BAR.width}V${bottom.toFixed(1)}h-${BAR.width}Z`;
  return {
    svg: whole,
    draw(bars) {
      const paths = { good: "", bad: "", gap: "" };
      for (let place = 0; place < 24; place += 1) {
        const part = bars[place] ?? null;
        if (part === null) {
          paths.gap += box(place, BAR.height - 3, BAR.height);
          continue;
        }
        const red = part === 1 ? 0 : Math.max(LEAST_RED, 1 - part) * BAR.height;
        if (red > 0) paths.bad += box(place, 0, red);
        if (red < BAR.height) paths.good += box(place, red, BAR.height);
      }
      mark(good, "d", paths.good);
      mark(bad, "d", paths.bad);
      mark(gap, "d", paths.gap);
    },
  };
}

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { ProcessFigures } from '../../telemetry/metrics/gateway-samples.js';

/** Between two looks at the event loop, in milliseconds: what is measured is what they are late. */
const RESOLUTION_MS = 20;
const NANOSECONDS = 1e9;

/** Measures how late the event loop of this thread is, from the first time that it is asked. */
export class EventLoopDelay {
  #histogram: IntervalHistogram | undefined;

  /** The delays since the last call, in seconds; 0 the first time. */
  read(): ProcessFigures['delay'] {
    const histogram = this.#histogram;
    if (histogram === undefined) {
      this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
      this.#histogram.enable();
      return { '0.5': 0, '0.99': 0, '1': 0 };
    }
    // The histogram has the times between looks: what is above the wanted one is the delay.
    const late = (nanoseconds: number): number =>
      Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1000);
    const delay = {
      '0.5': late(histogram.percentile(50)),
      '0.99': late(histogram.percentile(99)),
      '1': late(histogram.max),
    };
    histogram.reset();
    return delay;
  }

  close(): void {
    this.#histogram?.disable();
  }
}

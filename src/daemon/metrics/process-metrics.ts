import { collectDefaultMetrics, Registry } from 'prom-client';
import { familyOf, type MetricFamily } from '../../telemetry/metrics/families.js';
import { programVersion } from '../../telemetry/program.js';

/** What this process says of itself: prom-client's own metrics (`process_*`, `nodejs_*`), and which program it is. */
export class ProcessMetrics {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  async families(): Promise<MetricFamily[]> {
    const { node, openssl } = process.versions;
    const labels = { version: programVersion, node, openssl };
    const own = (await this.#registry.getMetricsAsJSON()) as unknown as MetricFamily[];
    return [familyOf('culvert_build_info', [{ labels, value: 1 }]), ...own];
  }

  /** Measures no more. */
  close(): void {
    this.#registry.clear();
  }
}

/** One thing that is looked at. */
export interface HealthCheck {
  readonly name: string;
  readonly ok: boolean;
  /** What is wrong, in a sentence that names nothing of the configuration: anybody may read it. */
  readonly message?: string;
}

/** What was found. */
export interface HealthReport {
  /** All checks are. */
  readonly ok: boolean;
  readonly checks: readonly HealthCheck[];
}

/** What can say how it is. Asking costs little, however often it is done. */
export interface HealthSource {
  /** Whether the program itself works. Where it does not, a restart is what helps. */
  health(): HealthReport | Promise<HealthReport>;
  /** Whether it does what it is there for, as far as that is its own affair: a peer that is down is not. */
  ready(): HealthReport | Promise<HealthReport>;
}

/** An answer to an HTTP request. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The paths that probes ask, and what each asks for. */
export const HEALTH_PATHS = { '/health': 'health', '/ready': 'ready' } as const satisfies Record<
  string,
  keyof HealthSource
>;

/** One of these. */
export type HealthPath = keyof typeof HEALTH_PATHS;

/** The probe that a path asks for, if it is one. */
export function probeOf(path: string): HealthPath | undefined {
  return Object.hasOwn(HEALTH_PATHS, path) ? (path as HealthPath) : undefined;
}

/** The check, well or with what is wrong. */
export function checkOf(name: string, problem?: string): HealthCheck {
  return problem === undefined ? { name, ok: true } : { name, ok: false, message: problem };
}

/** The report of these checks. */
export function reportOf(checks: readonly HealthCheck[]): HealthReport {
  return { ok: checks.every(({ ok }) => ok), checks };
}

/** Answers a probe: 200 when all is well, else 503 with the reasons. Every listener for probes uses it. */
export async function answerProbe(source: HealthSource, path: HealthPath): Promise<HealthAnswer> {
  const { ok, checks } = await source[HEALTH_PATHS[path]]();
  const document = {
    status: word(ok),
    checks: checks.map(({ name, ok: fine, message }) => ({ name, status: word(fine), message })),
  };
  return {
    status: ok ? 200 : 503,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: `${JSON.stringify(document)}\n`,
  };
}

function word(ok: boolean): 'ok' | 'failing' {
  return ok ? 'ok' : 'failing';
}

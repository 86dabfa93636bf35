import { spawn, spawnSync } from 'node:child_process';

/** What `openssl speed` is asked to do over and over. */
export type SpeedJob =
  | { readonly kind: 'cipher'; readonly name: string; readonly decrypt: boolean; readonly octets: number }
  | { readonly kind: 'hmac'; readonly hash: string; readonly octets: number };

/** The version line of the `openssl` program, or undefined when it is not installed. */
export function opensslVersion(): string | undefined {
  const { status, stdout } = spawnSync('openssl', ['version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().split(' ').slice(0, 2).join(' ') : undefined;
}

/**
 * CPU seconds of one operation, measured for about `milliseconds`; undefined when this openssl lacks the
 * algorithm or gives no figure. The program counts whole seconds and stops at SIGALRM: sending that signal
 * ourselves ends a measurement sooner.
 */
export async function opensslSpeed(job: SpeedJob, milliseconds: number): Promise<number | undefined> {
  const what =
    job.kind === 'hmac' ? ['-hmac', job.hash] : ['-evp', job.name, ...(job.decrypt ? ['-decrypt'] : [])];
  const bounds = ['-bytes', String(job.octets), '-seconds', '1', '-mr'];
  const child = spawn('openssl', ['speed', ...what, ...bounds], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let timer: NodeJS.Timeout | undefined;
  const onText = (text: string): void => {
    output += text;
    // "+DT" announces a measurement: the handler of the signal is in place by then.
    if (timer === undefined && output.includes('+DT:')) {
      timer = setTimeout(() => child.kill('SIGALRM'), milliseconds);
    }
  };
  child.stdout.setEncoding('utf8').on('data', onText);
  child.stderr.setEncoding('utf8').on('data', onText);
  await new Promise<void>((resolve) => {
    child.on('error', () => resolve());
    child.on('close', () => resolve());
  });
  clearTimeout(timer);
  const found = /^\+R:(\d+):[^:]*:([\d.]+)/m.exec(output);
  const [count, seconds] = [Number(found?.[1] ?? 0), Number(found?.[2] ?? 0)];
  return count > 0 && seconds > 0 ? seconds / count : undefined;
}

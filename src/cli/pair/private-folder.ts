import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A folder of mode 0700 that is removed with this process, however it ends: a small shell in a session of
 * its own waits for its standard input to close, which even SIGKILL of this process cannot prevent.
 */
export class PrivateFolder {
  readonly path: string;
  readonly #remove: () => void;

  constructor(prefix: string) {
    this.path = mkdtempSync(join(tmpdir(), prefix));
    // Twice: a program that is ending as well may put a file there in between.
    const script = 'trap "" INT TERM HUP; read _; rm -rf "$0"; sleep 1; rm -rf "$0"';
    const janitor = spawn('sh', ['-c', script, this.path], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    });
    janitor.unref();
    (janitor.stdin as unknown as { unref(): void }).unref();
    this.#remove = () => {
      rmSync(this.path, { recursive: true, force: true, maxRetries: 3 });
      janitor.kill('SIGKILL');
    };
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file that only this user can read. */
  write(name: string, text: string): string {
    const path = this.file(name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  remove(): void {
    this.#remove();
  }
}

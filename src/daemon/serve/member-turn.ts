import { adoptProcess, type LaunchedProcess, type LaunchOptions, startProcess } from './launch.js';
import { unlessAborted } from './silence.js';

/** The turns of a process that speaks alternately with another one, and where it reports how it fares. */
export interface MemberTurn {
  /** It was looked for: one that runs since before this server, with a term where it speaks; undefined where none runs. */
  found(process: Pick<LaunchedProcess, 'term'> | undefined): void;
  /** Resolves when a process may be started. */
  mayStart(): Promise<void>;
  /** It is ready and does not speak. Resolves with the term when it is to. */
  ready(): Promise<number>;
  /** It speaks. */
  live(): void;
  /** It is known dead, or could not be started. */
  ended(): void;
}

/**
 * The process of a member that runs since before this server, or a new one; undefined when the signal is aborted before
 * it may be started.
 * @throws StartError
 */
export async function obtainProcess(
  launch: LaunchOptions,
  signal: AbortSignal,
  turn?: MemberTurn,
): Promise<LaunchedProcess | undefined> {
  const found = await adoptProcess(launch);
  turn?.found(found);
  if (found !== undefined) return found;
  if (turn !== undefined) await unlessAborted(signal, turn.mayStart());
  return signal.aborted ? undefined : await startProcess(launch);
}

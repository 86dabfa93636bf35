import { Observed, useObserved } from './observed.ts';
import type { ConsoleSession } from './types.ts';

/** Who is logged in: `expired` keeps the page, and what was entered in it, until the next login. */
export type SessionState =
  | { readonly state: 'unknown' | 'out' }
  | { readonly state: 'in' | 'expired'; readonly session: ConsoleSession };

const current = new Observed<SessionState>({ state: 'unknown' });

/** The session as it is now. */
export function sessionNow(): SessionState {
  return current.value;
}

/** Takes over another session, or the end of one. */
export function setSession(next: SessionState): void {
  current.value = next;
}

/** The server does not take our cookie any more. */
export function sessionRefused(): void {
  const now = sessionNow();
  if (now.state === 'in') setSession({ state: 'expired', session: now.session });
  else if (now.state === 'unknown') setSession({ state: 'out' });
}

/** The session, for components. */
export function useSession(): SessionState {
  return useObserved(current);
}

/** Who is logged in, or was until the login expired. */
export function useWho(): ConsoleSession | undefined {
  const session = useSession();
  return 'session' in session ? session.session : undefined;
}

/** Whether the one who is logged in may change anything. */
export function useMayChange(): boolean {
  return useWho()?.role === 'editor';
}

import { useSyncExternalStore } from 'react';
import type { ConsoleSession } from './types.ts';

/** Who is logged in: `expired` keeps the page, and what was entered in it, until the next login. */
export type SessionState =
  | { readonly state: 'unknown' | 'out' }
  | { readonly state: 'in' | 'expired'; readonly session: ConsoleSession };

let current: SessionState = { state: 'unknown' };
const listeners = new Set<() => void>();

/** The session as it is now. */
export function sessionNow(): SessionState {
  return current;
}

/** Takes over another session, or the end of one. */
export function setSession(next: SessionState): void {
  current = next;
  for (const listener of listeners) listener();
}

/** The server does not take our cookie any more. */
export function sessionRefused(): void {
  if (current.state === 'in') setSession({ state: 'expired', session: current.session });
  else if (current.state === 'unknown') setSession({ state: 'out' });
}

/** The session, for components. */
export function useSession(): SessionState {
  return useSyncExternalStore(subscribe, sessionNow);
}

/** Whether the one who is logged in may change anything. */
export function useMayChange(): boolean {
  const session = useSession();
  return 'session' in session && session.session.role === 'editor';
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

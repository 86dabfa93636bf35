import { ApiFailure, ask, own } from './client.ts';
import { setSession } from './session.ts';
import type { ConsoleSession } from './types.ts';

const SESSION = own('/console/session');

/** Looks who is logged in; the code of a login link in the address logs in first, once. */
export async function beginSession(): Promise<void> {
  const code = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (code !== undefined) {
    history.replaceState(null, '', location.pathname + location.search);
    await logIn({ code });
    return;
  }
  try {
    setSession({ state: 'in', session: (await ask<ConsoleSession>('GET', SESSION)).body });
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 401) setSession({ state: 'out' });
    else throw error;
  }
}

/** Logs in by a token or API key, or by the code of a link. @throws ApiFailure */
export async function logIn(by: { readonly secret: string } | { readonly code: string }): Promise<void> {
  setSession({ state: 'in', session: (await ask<ConsoleSession>('POST', SESSION, { body: by })).body });
}

/** Ends the session, here and at the server. */
export async function logOut(): Promise<void> {
  await ask('DELETE', SESSION);
  // Nothing of what was shown stays in memory.
  location.reload();
}

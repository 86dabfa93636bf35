import { hashSecret } from '../../src/api/auth/credentials.js';

export const EDITOR = 'a-token-for-an-editor';
export const VIEWER = 'a-token-for-a-viewer';

/** A server whose callers have a token: `ed` is an editor, `vi` a viewer. */
export const TWO_ROLES = {
  mode: 'tokens',
  tokens: [
    { name: 'ed', role: 'editor', hash: hashSecret(EDITOR) },
    { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
  ],
  apiKeys: [],
} as const;

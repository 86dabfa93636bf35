import { type Backup, makeBackup } from '../../src/store/backup.js';
import { ObjectImage } from '../../src/store/object-image.js';
import type { StoredObject } from '../../src/store/store.js';
import { SITE } from './api-lab.js';
import type { OperationCases } from './case-words.js';
import type { ContractCase } from './contract-world.js';

/** A backup of these objects, as a server of the test's site makes it. */
export function backupOf(...objects: readonly Omit<StoredObject, 'created' | 'revision'>[]): Backup {
  const stored = objects.map((object, index) => ({ ...object, created: index + 1, revision: index + 1 }));
  const origin = { madeAt: '2026-11-22T10:00:00.000Z', program: 'culvert 0.0.0', ...SITE };
  return makeBackup(ObjectImage.of(objects.length, stored), origin, true);
}

const policy = {
  kind: 'ike_policy',
  id: 'r006-1',
  value: {
    name: 'strong',
    createdAt: '2026-11-22T10:00:00.000Z',
    resourceGroup: 'rg1',
    encryption: ['aes256'],
    authentication: ['sha256'],
    keyLifetime: 28_800,
    ikeVersion: 2,
    dhGroups: [14],
  },
};
const whole = backupOf(policy);

const no = (status: number, code: string, more: Partial<ContractCase>): ContractCase => ({
  status,
  code,
  ...more,
});
const refused = (code: string, backup: object): ContractCase =>
  no(400, code, { body: { backup, replace: true } });

export const backupCases: OperationCases = {
  cases: [
    no(400, 'validation_enum', { query: 'keys=some' }),
    { status: 200 },
    { status: 200, query: 'keys=omit' },
  ],
};

export const restoreCases: OperationCases = {
  cases: [
    no(400, 'bad_request', { raw: '' }),
    no(400, 'bad_field', { body: { backup: whole, colour: 'blue' } }),
    no(400, 'validation_required_field', { body: {} }),
    refused('backup_not_valid', {}),
    refused('backup_not_valid', { ...whole, version: 2 }),
    refused('backup_not_valid', { ...whole, revision: 7 }),
    refused('backup_not_valid', { ...whole, keys: 'sealed' }),
    refused('validation_failure', backupOf({ ...policy, value: { ...policy.value, resourceGroup: 'rg9' } })),
    no(409, 'store_not_empty', { body: { backup: whole } }),
    no(413, 'http_request_size_exceeded', { raw: JSON.stringify({ backup: 'x'.repeat(17_000_000) }) }),
    no(415, 'bad_request', { raw: '{}', headers: () => ({ 'content-encoding': 'br' }) }),
    { status: 200, body: { backup: whole, replace: true, dry_run: true } },
    { status: 200, body: { backup: whole, replace: true } },
  ],
};

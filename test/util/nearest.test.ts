import t from 'tap';
import { nearestWord } from '../../src/util/nearest.js';

t.test('the word that was most likely meant', async (t) => {
  const cases: readonly [typed: string, known: readonly string[], meant: string | undefined][] = [
    ['adress', ['address', 'fqdn'], 'address'],
    ['strogn', ['strong'], 'strong'],
    ['ike-policy', ['ipsec_policy', 'ike_policy'], 'ike_policy'],
    ['Modern', ['compatible', 'modern'], 'modern'],
    ['aes-256', ['aes192', 'aes256', 'aes256gcm16'], 'aes256'],
    ['sha2', ['sha1', 'sha256'], 'sha256'],
    ['conf', ['name', 'config'], 'config'],
    ['routes', ['gateway', 'connections'], undefined],
    ['ab', ['xy'], undefined],
    ['', ['a'], 'a'],
    ['address', [], undefined],
    ['x'.repeat(100_000), ['x'], undefined],
  ];
  for (const [typed, known, meant] of cases) t.equal(nearestWord(typed, known), meant, typed.slice(0, 20));
});

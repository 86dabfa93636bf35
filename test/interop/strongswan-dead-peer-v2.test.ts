import t from 'tap';
import { deadPeerTests } from '../helpers/dead-peer-cases.js';

t.jobs = 2;

deadPeerTests(2);

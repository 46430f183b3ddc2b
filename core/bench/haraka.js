// SPDX-License-Identifier: Apache-2.0

// The plugins that core/bench gives to Haraka: accept takes every recipient, as
// a relay for trusted clients does; filter adds a header field to every message.
'use strict';

if (__filename.endsWith('accept.js')) {
  exports.hook_rcpt = (next) => next(OK);
} else {
  exports.hook_data_post = (next, connection) => {
    connection.transaction.add_header('X-Filter', 'seen');
    next();
  };
}

// SPDX-License-Identifier: Apache-2.0

// The plugins that core/bench gives to Haraka: accept takes every recipient, as
// a relay for trusted clients does; relay does the same and has Haraka's own
// queue deliver to the next hop of config/next_hop; filter adds a header field to
// every message.
'use strict';

if (__filename.endsWith('accept.js')) {
  exports.hook_rcpt = (next) => next(OK);
} else if (__filename.endsWith('relay.js')) {
  exports.hook_connect = (next, connection) => {
    connection.relaying = true;
    next();
  };
  exports.hook_rcpt = (next) => next(OK);
  exports.hook_get_mx = function (next) {
    const [host, port] = this.config.get('next_hop').split(':');
    next(OK, { priority: 0, exchange: host, port: Number(port) });
  };
} else {
  exports.hook_data_post = (next, connection) => {
    connection.transaction.add_header('X-Filter', 'seen');
    next();
  };
}

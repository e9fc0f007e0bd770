# SPDX-License-Identifier: Apache-2.0
# Portiere. Each 250 after fdatasync; all roles in their sandboxes, accounts, policy and log on. Started as root it drops to a user for each role.
O=${OURS:?the folder with our programs}
version() { $O/portiere --version; }
supports() { [ $2 = tuned ]; } # there is one way to run it
delivered() { echo $RUN/mail/local.test/user/new; }
start() {
  mkdir -p $RUN/tls; cp $CERT $RUN/tls/cert.pem; cp $KEY $RUN/tls/key.pem; chmod 711 $RUN
  cat >$RUN/portiere.conf <<C
[service]
hostname = mx.local.test
max_incoming = 12000
max_incoming_per_host = none
max_at_door = 20000
[log]
target = file
[security]
relay_only_local_sender = no
C
  [ $MODE = relay ] && cat >>$RUN/portiere.conf <<C
[delivery]
mode = relay
undelivered_after = 2d
[table delivery.relay_hosts]
127.0.0.1:$SINK_PORT tls=off
C
  cat >>$RUN/portiere.conf <<C
[table service.listen]
smtp 127.0.0.1:$PORT auth=no
[table security.trusted]
127.0.0.1
C
  $O/portiere domain add local.test --directory $RUN
  head -c 12 /dev/urandom | base64 | $O/portiere account add user@local.test --password-stdin --directory $RUN
  ulimit -n $(ulimit -Hn)
  nohup $O/portiere serve --directory $RUN >$RUN/serve.log 2>&1 </dev/null &
  until grep -q 'is ready' $RUN/serve.log; do sleep 0.1; done
  sleep 3 # the first segments of the spool are being written ahead: that is the start-up's work, not the messages'
  # accept alone: delivery is held back, as the peers' is
  [ $MODE = maildir ] || [ $MODE = relay ] || $O/portiere queue pause --directory $RUN
}
stop() { $O/portiere stop --directory $RUN >/dev/null 2>&1; }

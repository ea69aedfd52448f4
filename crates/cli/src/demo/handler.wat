;; The handler of the demonstration: the component `gristmill:handler/handler-with-context`, by hand.
;;
;; It fails the batch that has "unlucky" in it on its first two calls, and names the record that has
;; "poison" in its messageId as one that it cannot handle, as `report_batch_item_failures` has it.
(component
  (core module $handler
    (memory (export "memory") 2)
    (data (i32.const 1024) "unlucky")
    (data (i32.const 1040) "poison")
    (data (i32.const 1056) "the database is away (this batch is the unlucky one)")
    (data (i32.const 1152) "{\"batchItemFailures\":[{\"itemIdentifier\":\"order-7777-poison\"}]}")

    ;; What is asked for by the caller lies behind the first page, one call after another.
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
      (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (block $enough
        (br_if $enough
          (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $enough
          (i32.ne
            (i32.const -1)
            (memory.grow
              (i32.sub
                (i32.add (i32.shr_u (global.get $next) (i32.const 16)) (i32.const 1))
                (memory.size)))))
        unreachable)
      (local.get $at))

    ;; Whether a text is somewhere in another.
    (func $has (param $text i32) (param $length i32) (param $word i32) (param $word_length i32)
      (result i32)
      (local $last i32) (local $at i32)
      (if (i32.lt_u (local.get $length) (local.get $word_length)) (then (return (i32.const 0))))
      (local.set $last
        (i32.add (local.get $text) (i32.sub (local.get $length) (local.get $word_length))))
      (loop $text
        (local.set $at (i32.const 0))
        (block $differs
          (loop $word
            (br_if $differs
              (i32.ne
                (i32.load8_u (i32.add (local.get $text) (local.get $at)))
                (i32.load8_u (i32.add (local.get $word) (local.get $at)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $word (i32.lt_u (local.get $at) (local.get $word_length))))
          (return (i32.const 1)))
        (local.set $text (i32.add (local.get $text) (i32.const 1)))
        (br_if $text (i32.le_u (local.get $text) (local.get $last))))
      (i32.const 0))

    ;; The answer lies at 0: whether it failed, which of both, and a text.
    (func $answer (param $failed i32) (param $which i32) (param $text i32) (param $length i32)
      (result i32)
      (i32.store8 (i32.const 0) (local.get $failed))
      (i32.store8 (i32.const 4) (local.get $which))
      (i32.store (i32.const 8) (local.get $text))
      (i32.store (i32.const 12) (local.get $length))
      (global.set $next (i32.const 65536))
      (i32.const 0))

    (func (export "handle") (param $event i32) (param $length i32)
      (param $request_id i32) (param $request_id_length i32)
      (param $function_name i32) (param $function_name_length i32)
      (param $attempt i32) (param $deadline i64) (param $memory i32) (result i32)
      (if
        (i32.and
          (i32.lt_u (local.get $attempt) (i32.const 3))
          (call $has (local.get $event) (local.get $length) (i32.const 1024) (i32.const 7)))
        (then (return (call $answer (i32.const 1) (i32.const 0) (i32.const 1056) (i32.const 52)))))
      (if (call $has (local.get $event) (local.get $length) (i32.const 1040) (i32.const 6))
        (then (return (call $answer (i32.const 0) (i32.const 1) (i32.const 1152) (i32.const 62)))))
      (call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))

  (core instance $handler (instantiate $handler))
  (type $context (record
    (field "request-id" string)
    (field "function-name" string)
    (field "attempt" u32)
    (field "deadline-ms" u64)
    (field "memory-mib" u32)))
  (type $failure (variant
    (case "retry" string)
    (case "retry-after" (tuple u32 string))
    (case "give-up" string)))
  (component $shape
    (import "context" (type $context' (eq $context)))
    (import "failure" (type $failure' (eq $failure)))
    (import "handle" (func $handle
      (param "event" string) (param "context" $context')
      (result (result (option string) (error $failure')))))
    (export $context'' "context" (type $context'))
    (export $failure'' "failure" (type $failure'))
    (export "handle-batch-with" (func $handle)
      (func
        (param "event" string) (param "context" $context'')
        (result (result (option string) (error $failure''))))))
  (func $handle
    (param "event" string) (param "context" $context)
    (result (result (option string) (error $failure)))
    (canon lift (core func $handler "handle")
      (memory (core memory $handler "memory")) (realloc (core func $handler "realloc"))))
  (instance $shaped (instantiate $shape
    (with "context" (type $context))
    (with "failure" (type $failure))
    (with "handle" (func $handle))))
  (export "gristmill:handler/batch-context@0.1.0" (instance $shaped)))

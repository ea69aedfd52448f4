;; A handler that is done with every batch: the component `gristmill:handler/handler`, by hand.
(component
  (core module $handler
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (if (i32.gt_u (local.get 3) (i32.const 65536)) (then unreachable))
      (i32.const 65536))
    (func (export "handle") (param i32 i32) (result i32) (i32.const 0)))
  (core instance $handler (instantiate $handler))
  (func (export "handle-batch")
    (param "event" string) (result (result (option string) (error string)))
    (canon lift (core func $handler "handle")
      (memory (core memory $handler "memory")) (realloc (core func $handler "realloc")))))

// The type of the component, for the tool that makes one of the linked module.
//
// It is the section `component-type:handler` of the object file that `wit-bindgen c`
// 0.63.0 makes of `wit/handler.wit`, as text.
__asm__(
    ".section \".custom_section.component-type:handler\",\"\",@\n"
    ".ascii \"\\000asm\\015\\000\\001\\000\\000\\031\\026wit-component\"\n"
    ".ascii \"-encoding\\004\\000\\007P\\001A\\002\\001A\\004\\001ks\\001j\"\n"
    ".ascii \"\\001\\000\\001s\\001@\\001\\005events\\000\\001\\004\\000\\014handl\"\n"
    ".ascii \"e-batch\\001\\002\\004\\000\\037gristmill:ha\"\n"
    ".ascii \"ndler/handler@0.1.0\\004\\000\\013\\015\\001\"\n"
    ".ascii \"\\000\\007handler\\003\\000\\000\\000D\\011producers\"\n"
    ".ascii \"\\001\\014processed-by\\002\\015wit-comp\"\n"
    ".ascii \"onent\\0070.262.0\\015wit-bindge\"\n"
    ".ascii \"n-c\\0060.63.0\"\n"
);

// Called in `handler.c`, so that the linker takes this file in.
void __component_type_object_force_link_handler(void) {}

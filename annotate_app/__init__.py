"""What people see. The only room that imports streamlit; labeling never imports torch or tinker."""
